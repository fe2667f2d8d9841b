/* exp over a row in double precision: plain C, of which each instruction set's compiler flags make vectors. */
#include "exp_f64.h"
#include "names.h"

void GG_KERNEL(exp_f64)(int64_t n, double *y, const float *x, double max, double temp) {
    for (int64_t i = 0; i < n; i++)
        y[i] = gg_exp_f64(((double)x[i] - max) / temp);
}
