/* Networks of S seeds, forward and backward, in one pass each over what a core's cache holds.

   Compiled with -ffp-contract=off: every sum of products is a chain of fused multiply-adds in a written order, one
   chain an output, so that numbers depend neither on vector width nor on the company that rows or seeds are in.

   A layer is its weights (in, out), row by row, and then its biases (out); a network's parameters are its layers', one
   after the other. Widths are padded to whole vectors where rows are kept here; zeros fill them up. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define W 16
typedef float vec __attribute__((vector_size(64), aligned(4)));
static inline vec fma_v(float a, vec b, vec c) {
    return (vec)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)b, (__m512)c);
}
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define W 8
typedef float vec __attribute__((vector_size(32), aligned(4)));
static inline vec fma_v(float a, vec b, vec c) {
    return (vec)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)b, (__m256)c);
}
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define W 4
typedef float vec __attribute__((vector_size(16), aligned(4)));
static inline vec fma_v(float a, vec b, vec c) { return (vec)vfmaq_n_f32((float32x4_t)c, (float32x4_t)b, a); }
#else
#error "no fused multiply-add of vectors here"
#endif

#define INLINE static inline __attribute__((always_inline))
#define ROWS 96 /* as many as pass through all layers at a time */
#define MOST_LAYERS 16

enum { TANH, RELU };

static long padded(long n) { return (n + 15) / 16 * 16; }

/* C = init + A B for so many rows, and so many vectors of columns. */
#define DEFINE_TILE(ROWS_, VECS)                                                                                       \
    static void tile_##ROWS_##x##VECS(long n_k, const float *a, long a_row, long a_k, const float *b, long b_row,      \
                                      const float *init, long init_row, float *c, long c_row) {                        \
        vec sum[ROWS_][VECS], row[VECS];                                                                               \
        EACH(r, ROWS_) EACH(v, VECS) sum[r][v] = *(const vec *)(init + r * init_row + v * W);                          \
        for (long k = 0; k < n_k; k++) {                                                                               \
            EACH(v, VECS) row[v] = *(const vec *)(b + k * b_row + v * W);                                              \
            EACH(r, ROWS_) EACH(v, VECS) sum[r][v] = fma_v(a[r * a_row + k * a_k], row[v], sum[r][v]);                 \
        }                                                                                                              \
        EACH(r, ROWS_) EACH(v, VECS) *(vec *)(c + r * c_row + v * W) = sum[r][v];                                      \
    }
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < n; i++)
DEFINE_TILE(6, 2)
DEFINE_TILE(4, 2)
DEFINE_TILE(2, 2)
DEFINE_TILE(1, 2)
DEFINE_TILE(6, 1)
DEFINE_TILE(4, 1)
DEFINE_TILE(2, 1)
DEFINE_TILE(1, 1)
DEFINE_TILE(1, 4)
DEFINE_TILE(1, 8)

/* C (m, n) = init + A (m, k) B (k, n); n is padded, init_row 0 repeats one row. */
static void product(long m, long n, long n_k, const float *a, long a_row, long a_k, const float *b, const float *init,
                    long init_row, float *c) {
    long j = 0, i;
#define TILE(rows, vecs)                                                                                               \
    for (; i + (rows) <= m; i += (rows))                                                                               \
        tile_##rows##x##vecs(n_k, a + i * a_row, a_row, a_k, b + j, n, init + i * init_row + j, init_row, c + i * n + j, n)
#define TILES(vecs)                                                                                                    \
    for (; j + (vecs) * W <= n; j += (vecs) * W) {                                                                     \
        i = 0;                                                                                                         \
        TILE(6, vecs);                                                                                                 \
        TILE(4, vecs);                                                                                                 \
        TILE(2, vecs);                                                                                                 \
        TILE(1, vecs);                                                                                                 \
    }
    if (m == 1)
        for (; j + 8 * W <= n; j += 8 * W)
            tile_1x8(n_k, a, a_row, a_k, b + j, n, init + j, init_row, c + j, n);
    if (m == 1)
        for (; j + 4 * W <= n; j += 4 * W)
            tile_1x4(n_k, a, a_row, a_k, b + j, n, init + j, init_row, c + j, n);
    TILES(2)
    TILES(1)
}

/* tanh(x) from tanh(x / 4) as Lambert's continued fraction cut off, p / q, with tanh(2x) = 2 p q / (q q + p p) twice:
   within 3e-7 of itself. */
static void squash(float *x, long n) {
    for (long i = 0; i < n; i++) {
        float z = x[i] < -9.f ? -9.f : x[i];
        z = (z > 9.f ? 9.f : z) * .25f;
        const float s = z * z;
        float p = z * (945.f + s * (105.f + s)), q = 945.f + s * (420.f + s * 15.f), t;
        t = 2.f * p * q, q = q * q + p * p, p = t;
        t = 2.f * p * q, q = q * q + p * p, p = t;
        x[i] = p / q;
    }
}

static void activate(int activation, float *x, long n) {
    if (activation == TANH) squash(x, n);
    else
        for (long i = 0; i < n; i++) x[i] = x[i] < 0.f ? 0.f : x[i];
}

/* Times the activation's derivative, of its value. */
static void times_derivative(int activation, float *restrict dy, const float *restrict y, long n) {
    if (activation == TANH)
        for (long i = 0; i < n; i++) dy[i] *= 1.f - y[i] * y[i];
    else
        for (long i = 0; i < n; i++) dy[i] = y[i] > 0.f ? dy[i] : 0.f;
}

static void pad(const float *from, long rows, long n, float *restrict to) {
    const long n_padded = padded(n);
    for (long r = 0; r < rows; r++, from += n, to += n_padded)
        for (long i = 0; i < n_padded; i++) to[i] = i < n ? from[i] : 0.f;
}

static float *some(long n) { return malloc(n * sizeof(float)); }

static float *zeros(long n) { return calloc(n, sizeof(float)); }

/* Outputs (S, B, sizes[L]) of inputs (S, B, sizes[0]); with `hidden`, also what the hidden layers say, (S, H, B):
   one layer after another, each (B, padded width). Nonzero where there is no memory. */
int rlclaims_forward(long n_seeds, long n_rows, long n_layers, const long *sizes, int activation, const float *theta,
                     long theta_row, const float *x, long x_seed, float *out, float *hidden) {
    long widest = 0, n_hidden = 0, biggest = 0;
    for (long l = 0; l <= n_layers; l++) {
        if (padded(sizes[l]) > widest) widest = padded(sizes[l]);
        if (l && l < n_layers) n_hidden += padded(sizes[l]);
        if (l && (sizes[l - 1] + 1) * padded(sizes[l]) > biggest) biggest = (sizes[l - 1] + 1) * padded(sizes[l]);
    }
    const long m_most = n_rows < ROWS ? n_rows : ROWS;
    float *packed = some(n_layers * biggest), *one = some(m_most * widest), *other = some(m_most * widest);
    const int no_memory = !packed || !one || !other;
    for (long s = 0; s < n_seeds && !no_memory; s++) {
        const float *weights = theta + s * theta_row;
        const float *layer[MOST_LAYERS];
        for (long l = 0; l < n_layers; l++) {
            const long n_in = sizes[l], n_out = sizes[l + 1];
            layer[l] = weights;
            if (n_out != padded(n_out)) pad(weights, n_in + 1, n_out, packed + l * biggest), layer[l] = packed + l * biggest;
            weights += (n_in + 1) * n_out;
        }
        for (long first = 0; first < n_rows; first += ROWS) {
            const long m = n_rows - first < ROWS ? n_rows - first : ROWS;
            const float *in = x + s * x_seed + first * sizes[0];
            long in_row = sizes[0];
            float *kept = hidden ? hidden + s * n_rows * n_hidden : 0;
            for (long l = 0; l < n_layers; l++) {
                const long n_in = sizes[l], n_out = sizes[l + 1], n = padded(n_out);
                float *y = in == one ? other : one;
                if (kept && l + 1 < n_layers) y = kept + first * n, kept += n_rows * n;
                product(m, n, n_in, in, in_row, 1, layer[l], layer[l] + n_in * n, 0, y);
                if (l + 1 < n_layers) activate(activation, y, m * n);
                else
                    for (long r = 0; r < m; r++)
                        memcpy(out + (s * n_rows + first + r) * n_out, y + r * n, n_out * sizeof(float));
                in = y, in_row = n;
            }
        }
    }
    free(packed), free(one), free(other);
    return no_memory;
}

/* From the outputs' gradient (S, B, sizes[L]) and what `forward` kept, the parameters' (S, P). */
int rlclaims_backward(long n_seeds, long n_rows, long n_layers, const long *sizes, int activation, const float *theta,
                      long theta_row, const float *x, long x_seed, const float *hidden, const float *d_out, float *d_theta) {
    long widest = 0, n_hidden = 0, n_turned = 0, n_d = 0, n_parameters = 0;
    for (long l = 0; l <= n_layers; l++) {
        if (padded(sizes[l]) > widest) widest = padded(sizes[l]);
        if (l && l < n_layers) n_hidden += padded(sizes[l]), n_turned += sizes[l + 1] * padded(sizes[l]);
        if (l) n_d += (sizes[l - 1] + 1) * padded(sizes[l]), n_parameters += (sizes[l - 1] + 1) * sizes[l];
    }
    float *turned = zeros(n_turned + 1), *d = some(n_d), *one = some(ROWS * widest), *other = some(ROWS * widest);
    float *nothing = zeros(widest);
    const int no_memory = !turned || !d || !one || !other || !nothing;
    for (long s = 0; s < n_seeds && !no_memory; s++) {
        const float *weights = theta + s * theta_row;
        float *to = turned;
        for (long l = 0; l < n_layers; l++) { /* the transposes of all but the first, padded */
            const long n_in = sizes[l], n_out = sizes[l + 1], n = padded(n_in);
            if (l) {
                for (long i = 0; i < n_in; i++)
                    for (long o = 0; o < n_out; o++) to[o * n + i] = weights[i * n_out + o];
                to += n_out * n;
            }
            weights += (n_in + 1) * n_out;
        }
        memset(d, 0, n_d * sizeof(float));
        for (long first = 0; first < n_rows; first += ROWS) {
            const long m = n_rows - first < ROWS ? n_rows - first : ROWS;
            float *dy = one, *dx = other, *d_layer = d + n_d;
            const float *kept = hidden + s * n_rows * n_hidden + n_rows * n_hidden, *back = turned + n_turned;
            pad(d_out + (s * n_rows + first) * sizes[n_layers], m, sizes[n_layers], dy);
            for (long l = n_layers - 1; l >= 0; l--) {
                const long n_in = sizes[l], n_out = sizes[l + 1], n = padded(n_out), n_before = padded(n_in);
                const float *in = x + s * x_seed + first * n_in;
                long in_row = n_in;
                if (l) kept -= n_rows * n_before, in = kept + first * n_before, in_row = n_before;
                d_layer -= (n_in + 1) * n;
                product(n_in, n, m, in, 1, in_row, dy, d_layer, n, d_layer);
                float *d_bias = d_layer + n_in * n;
                for (long r = 0; r < m; r++)
                    for (long o = 0; o < n; o++) d_bias[o] += dy[r * n + o];
                if (l) {
                    back -= n_out * n_before;
                    product(m, n_before, n_out, dy, n, 1, back, nothing, 0, dx);
                    times_derivative(activation, dx, in, m * n_before);
                    float *swap = dy;
                    dy = dx, dx = swap;
                }
            }
        }
        float *row = d_theta + s * n_parameters;
        const float *from = d;
        for (long l = 0; l < n_layers; l++)
            for (long i = 0; i <= sizes[l]; i++, from += padded(sizes[l + 1]), row += sizes[l + 1])
                memcpy(row, from, sizes[l + 1] * sizeof(float));
    }
    free(turned), free(d), free(one), free(other), free(nothing);
    return no_memory;
}

/* Adam's step, as `rlclaims.agents.adam` writes it, of rows (S, P). */
void rlclaims_adam(long n_seeds, long n, float *restrict theta, long theta_row, const float *restrict gradient,
                   float *restrict mean, float *restrict square, const float *size, const float *correction,
                   float beta1, float rest1, float beta2, float rest2, float epsilon) {
    for (long s = 0; s < n_seeds; s++, theta += theta_row, gradient += n, mean += n, square += n)
        for (long i = 0; i < n; i++) {
            const float g = gradient[i];
            mean[i] = beta1 * mean[i] + rest1 * g;
            square[i] = beta2 * square[i] + rest2 * (g * g);
            theta[i] -= size[s] * (mean[i] / (sqrtf(square[i]) * correction[s] + epsilon));
        }
}

/* Log densities (S, B) of actions (S, B, A) that are normal about given means, their log standard deviations the same in
   every row, as `DiagonalGaussian` writes them. */
void rlclaims_log_prob(long n_seeds, long n_rows, long n, const float *mean, const float *log_std, long log_std_row,
                       const float *action, float *log_prob) {
    for (long s = 0; s < n_seeds; s++, log_std += log_std_row) {
        float inverse[n], normalizer = n * .918938533f; /* log(2 pi) / 2 */
        for (long i = 0; i < n; i++) inverse[i] = (float)exp(-(double)log_std[i]), normalizer += log_std[i];
        for (long b = 0; b < n_rows; b++, mean += n, action += n) {
            float squares = 0;
            for (long i = 0; i < n; i++) {
                const float z = (action[i] - mean[i]) * inverse[i];
                squares += z * z;
            }
            *log_prob++ = -.5f * squares - normalizer;
        }
    }
}

/* From the gradient of these, those of the means and of the log standard deviations. */
void rlclaims_log_prob_backward(long n_seeds, long n_rows, long n, const float *mean, const float *log_std,
                                long log_std_row, const float *action, const float *d_log_prob, float *d_mean,
                                float *d_log_std) {
    for (long s = 0; s < n_seeds; s++, log_std += log_std_row, d_log_std += n) {
        float inverse[n];
        for (long i = 0; i < n; i++) inverse[i] = (float)exp(-(double)log_std[i]), d_log_std[i] = 0;
        for (long b = 0; b < n_rows; b++, mean += n, action += n, d_mean += n, d_log_prob++)
            for (long i = 0; i < n; i++) {
                const float z = (action[i] - mean[i]) * inverse[i];
                d_mean[i] = *d_log_prob * z * inverse[i];
                d_log_std[i] += *d_log_prob * (z * z - 1.f);
            }
    }
}

static long n_parameters_of(long n_layers, const long *sizes) {
    long n = 0;
    for (long l = 0; l < n_layers; l++) n += (sizes[l] + 1) * sizes[l + 1];
    return n;
}

/* By how much log densities (S, B) of actions under Gaussian policies are above old ones, and what `ratio_gradient` needs
   of the networks: means (S, B, A) and `hidden`. The log standard deviations follow a network's parameters. What has a
   `_seed` is so far from one seed's to the next. */
int rlclaims_log_ratio(long n_seeds, long n_rows, long n_layers, const long *sizes, int activation, const float *theta,
                       long theta_row, const float *x, long x_seed, const float *action, long action_seed,
                       const float *old, long old_seed, float *mean, float *hidden, float *log_ratio) {
    const long n = sizes[n_layers], of_mean = n_parameters_of(n_layers, sizes);
    const int no_memory = rlclaims_forward(n_seeds, n_rows, n_layers, sizes, activation, theta, theta_row, x, x_seed,
                                           mean, hidden);
    for (long s = 0; s < n_seeds; s++, mean += n_rows * n, log_ratio += n_rows) {
        rlclaims_log_prob(1, n_rows, n, mean, theta + s * theta_row + of_mean, 0, action + s * action_seed, log_ratio);
        for (long b = 0; b < n_rows; b++) log_ratio[b] -= old[s * old_seed + b];
    }
    return no_memory;
}

/* The gradient (S, P) of the clipped objective, negated, as `PPO.policy_loss` writes it and autograd differentiates it:
   where both sides of the minimum are one, each has half of the slope. An infinite `high` is no clip. */
int rlclaims_ratio_gradient(long n_seeds, long n_rows, long n_layers, const long *sizes, int activation,
                            const float *theta, long theta_row, const float *x, long x_seed, const float *action,
                            long action_seed, const float *mean, const float *hidden, const float *ratio,
                            const float *advantage, float low, float high, float *gradient) {
    const long n = sizes[n_layers], of_mean = n_parameters_of(n_layers, sizes);
    long n_hidden = 0;
    for (long l = 1; l < n_layers; l++) n_hidden += padded(sizes[l]);
    const float whole = -1.f / n_rows, half = whole / 2.f;
    float *d_log_prob = some(n_rows), *d_mean = some(n_rows * n);
    int no_memory = !d_log_prob || !d_mean;
    for (long s = 0; s < n_seeds && !no_memory; s++, ratio += n_rows, advantage += n_rows, gradient += of_mean + n) {
        const float *weights = theta + s * theta_row;
        for (long b = 0; b < n_rows; b++) {
            const float r = ratio[b], a = advantage[b], near = r < low ? low : r > high ? high : r;
            const int inside = r >= low && r <= high;
            const float slope = isinf(high) || r * a < near * a ? whole * a
                                : r * a > near * a              ? (inside ? whole * a : 0.f)
                                                                : half * a + (inside ? half * a : 0.f);
            d_log_prob[b] = slope * r;
        }
        rlclaims_log_prob_backward(1, n_rows, n, mean + s * n_rows * n, weights + of_mean, 0, action + s * action_seed,
                                   d_log_prob, d_mean, gradient + of_mean);
        no_memory |= rlclaims_backward(1, n_rows, n_layers, sizes, activation, weights, 0, x + s * x_seed, 0,
                                       hidden + s * n_rows * n_hidden, d_mean, gradient);
    }
    free(d_log_prob), free(d_mean);
    return no_memory;
}

/* A pass of value regression, as `Agent.fit_values` writes it: each seed's rows (S, T) in its own order, in K parts of
   nearly equal length, and a step of Adam for each part, with factors (S, K). An infinite `clip` is none. */
int rlclaims_fit_values(long n_seeds, long n_rows, long n_parts, long n_layers, const long *sizes, int activation,
                        float *phi, long phi_row, const float *x, const float *old, const float *target,
                        const long *order, float clip, float *mean, float *square, const float *size,
                        const float *correction, float beta1, float rest1, float beta2, float rest2, float epsilon) {
    const long most = n_rows / n_parts + 1, n_in = sizes[0];
    long n_hidden = 0, n = 0;
    for (long l = 1; l <= n_layers; l++) n_hidden += l < n_layers ? padded(sizes[l]) : 0, n += (sizes[l - 1] + 1) * sizes[l];
    float *x_part = some(most * n_in), *value = some(most), *hidden = some(most * n_hidden + 1), *gradient = some(n);
    int no_memory = !x_part || !value || !hidden || !gradient;
    for (long s = 0; s < n_seeds; s++, x += n_rows * n_in, old += n_rows, target += n_rows)
        for (long k = 0; k < n_parts && !no_memory; k++, size++, correction++) {
            const long m = n_rows / n_parts + (k < n_rows % n_parts);
            for (long r = 0; r < m; r++) memcpy(x_part + r * n_in, x + order[r] * n_in, n_in * sizeof(float));
            no_memory |= rlclaims_forward(1, m, n_layers, sizes, activation, phi + s * phi_row, 0, x_part, 0, value, hidden);
            for (long r = 0; r < m; r++) {
                const float was = old[order[r]], wanted = target[order[r]], moved = value[r] - was;
                const float near = was + (moved < -clip ? -clip : moved > clip ? clip : moved);
                const float error = value[r] - wanted, near_error = near - wanted;
                /* Beyond the clip the larger error counts, and that of the clipped value has no slope. */
                const int stays = (moved < -clip || moved > clip) && error * error < near_error * near_error;
                value[r] = stays ? 0.f : 2.f * error / m;
            }
            no_memory |= rlclaims_backward(1, m, n_layers, sizes, activation, phi + s * phi_row, 0, x_part, 0, hidden,
                                           value, gradient);
            if (!no_memory)
                rlclaims_adam(1, n, phi + s * phi_row, 0, gradient, mean + s * n, square + s * n, size, correction,
                              beta1, rest1, beta2, rest2, epsilon);
            order += m;
        }
    free(x_part), free(value), free(hidden), free(gradient);
    return no_memory;
}

/* Takes in one observation (O) of each of some seeds, rows of x, and normalises it, as `ObservationNormalizer` writes
   it. `which` says whose rows they are, or is 0 for all of them; `learning` is 0 where statistics stay. */
void rlclaims_observe(long n_rows, long n, const long *which, int learning, const double *x, double *count,
                      double *mean, double *squares, const unsigned char *enabled, const double *clip, float *out) {
    for (long r = 0; r < n_rows; r++, x += n, out += n) {
        const long s = which ? which[r] : r;
        double *restrict m = mean + s * n, *restrict q = squares + s * n;
        if (learning) {
            count[s] += 1;
            for (long i = 0; i < n; i++) {
                const double deviation = x[i] - m[i];
                m[i] += deviation / count[s];
                q[i] += deviation * (x[i] - m[i]);
            }
        }
        const double divisor = count[s] - 1 > 1 ? count[s] - 1 : 1, bound = clip[s];
        for (long i = 0; i < n; i++) {
            double y = x[i];
            if (enabled[s]) y = (y - m[i]) * (1 / (count[s] < 2 ? 1. : sqrt(q[i] / divisor) + 1e-8));
            y = y < -bound ? -bound : y;
            out[i] = (float)(y > bound ? bound : y);
        }
    }
}

/* Rows (S, T, n) of four bytes a number in another order for each seed, (S, K). */
void rlclaims_take(long n_seeds, long n_rows, long n_taken, long n, const float *x, const long *index, float *out) {
    for (long s = 0; s < n_seeds; s++, x += n_rows * n)
        for (long k = 0; k < n_taken; k++, index++, out += n) {
            const float *row = x + *index * n;
            for (long i = 0; i < n; i++) out[i] = row[i];
        }
}

/* `generalized_advantages`, of errors and of what is kept of later ones, in place of the errors. */
void rlclaims_advantages(long n_seeds, long n_steps, double *error, const double *keep) {
    for (long s = 0; s < n_seeds; s++, error += n_steps, keep += n_steps) {
        double later = 0;
        for (long t = n_steps - 1; t >= 0; t--) error[t] = later = error[t] + keep[t] * later;
    }
}

/* `RewardScaler`, of rewards (S, T); its statistic is (S, 4) as `state` has it. */
void rlclaims_scale_rewards(long n_seeds, long n_steps, const double *reward, const unsigned char *done, double gamma,
                            int keeps_mean, double clip, double *state, double *out) {
    for (long s = 0; s < n_seeds; s++, state += 4)
        for (long t = 0; t < n_steps; t++, reward++, done++, out++) {
            state[0] = gamma * state[0] + *reward;
            state[1] += 1;
            const double deviation = state[0] - state[2];
            state[2] += deviation / state[1];
            state[3] += deviation * (state[0] - state[2]);
            const double divisor = state[1] - 1 > 1 ? state[1] - 1 : 1;
            const double std = state[1] < 2 ? 1. : sqrt(state[3] / divisor) + 1e-8;
            double y = keeps_mean ? state[2] + (*reward - state[2]) / std : *reward / std;
            y = y < -clip ? -clip : y;
            *out = y > clip ? clip : y;
            if (*done) state[0] *= 0;
        }
}
