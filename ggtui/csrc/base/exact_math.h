/* Refuses compiler flags under which NaN is a number and sums are rounded in another order. Every file includes this. */
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "ggtui needs NaN and exact rounding: compile without -ffast-math and -ffinite-math-only"
#endif
