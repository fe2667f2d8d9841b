// Functions of one value, f32. exp, log and tanh are made here of arithmetic alone: GLSL's own may be off by 2^-21, may
// overflow on the way to a result that is finite, and say nothing of infinities and NaN.

#define INFINITE uintBitsToFloat(0x7f800000u)
#define NOT_A_NUMBER uintBitsToFloat(0x7fc00000u)

// The number of each function is that of UNARY in kernels/elementwise.py.
const uint NONE = 0, SQR = 1, SQRT = 2, NEG = 3, LOG = 4, EXP = 5, RELU = 6, TANH = 7, SIGMOID = 8, SILU = 9;
const uint GELU = 10, GELU_ERF = 11, GELU_QUICK = 12;

// 2^n for n from -126 to 127.
float power_of_two(int n) { return intBitsToFloat((n + 127) << 23); }

// x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) = 1 + r + r^2 p(r). ln 2 is taken in two parts, of which the first
// has so few digits that n times it is exact. 2^n is multiplied in two steps, since 2^128 and 2^-150 are no floats.
float safe_exp(float x) {
    const float n = floor(x * 1.44269504 + 0.5);
    const float r = (x - n * 0.693359375) + n * 2.12194440e-4;
    float p = 1.38131448e-3;
    p = p * r + 8.36941879e-3;
    p = p * r + 4.16684560e-2;
    p = p * r + 0.166665152;
    p = p * r + 0.499999940;
    const int whole = int(clamp(n, -160, 130)), first = whole >> 1;
    const float y = (1 + (r + r * r * p)) * power_of_two(first) * power_of_two(whole - first);
    return x > 89 ? INFINITE : x < -104 ? 0 : y; // NaN passes both
}

// x = 2^n m with m from sqrt(1/2) to sqrt(2); with s = (m - 1) / (m + 1) ln m = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 ..).
float safe_log(float x) {
    const bool tiny = x < 1.17549435e-38; // a denormal, where the device keeps them
    const int bits = floatBitsToInt(tiny ? x * 8388608 : x);
    const int n = (bits - 0x3f3504f3) >> 23;
    const float m = intBitsToFloat(bits - (n << 23)), s = (m - 1) / (m + 1), z = s * s;
    const float p = z * (0.333333333 + z * (0.2 + z * (0.142857143 + z * 0.111111111)));
    const float e = float(n - (tiny ? 23 : 0));
    const float y = e * 0.693359375 + (2 * (s + s * p) - e * 2.12194440e-4);
    return x == 0 ? -INFINITE : x < 0 ? NOT_A_NUMBER : x < INFINITE ? y : x;
}

// 1 - 2 / (exp(2 |x|) + 1) with the sign of x; near 0, where that cancels, x + x^3 p(x^2).
float safe_tanh(float x) {
    const float a = abs(x), z = x * x;
    float p = -5.71704237e-3;
    p = p * z + 2.06505843e-2;
    p = p * z - 5.37434965e-2;
    p = p * z + 0.133314908;
    p = p * z - 0.333332837;
    const float far = 1 - 2 / (safe_exp(a + a) + 1);
    return a < 0.625 ? x + x * z * p : x < 0 ? -far : far;
}

// x / (1 + exp(-y)): x times the logistic function of y. Nothing overflows but where the result is 0.
float times_sigmoid(float x, float y) { return x / (1 + safe_exp(-y)); }

// x/2 (1 + tanh u) = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
float gelu(float x) { return times_sigmoid(x, x * (1.59576912 + 0.0713548163 * (x * x))); }

// x/2 (1 + erf(x / sqrt 2)) with erfc(z) = exp(-z^2) t p(t), t = 1 / (1 + 0.4 z): a fit for z >= 0, of all its values
// within 1.3e-7 of themselves. The coefficients below are halved.
float gelu_erf(float x) {
    const float z = abs(x) * 0.707106781, t = 1 / (1 + 0.4 * z);
    float p = 0.0251469538;
    p = p * t - 0.0915157497;
    p = p * t + 0.0846517906;
    p = p * t - 0.00290041463;
    p = p * t + 0.0707642362;
    p = p * t + 0.0842572451;
    p = p * t + 0.103923403;
    p = p * t + 0.112834662;
    p = p * t + 0.112837933;
    const float outside = t * p * safe_exp(-(z * z)); // erfc(z) / 2
    return x * (x < 0 ? outside : 1 - outside);
}

float activate(uint number, float x) {
    switch (number) {
    case SQR: return x * x;
    case SQRT: return x < 0 ? NOT_A_NUMBER : sqrt(x);
    case NEG: return -x;
    case LOG: return safe_log(x);
    case EXP: return safe_exp(x);
    case RELU: return x < 0 ? 0 : x;
    case TANH: return safe_tanh(x);
    case SIGMOID: return times_sigmoid(1, x);
    case SILU: return times_sigmoid(x, x);
    case GELU: return gelu(x);
    case GELU_ERF: return gelu_erf(x);
    case GELU_QUICK: return times_sigmoid(x, 1.702 * x);
    default: return x;
    }
}
