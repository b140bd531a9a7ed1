// Mamba's two recurrent pieces, forward and backward, for training on a CPU.
//
//   causal_conv_silu   u = silu(conv(x) + b)           depthwise, tap K-1 is the current token
//   selective_scan     h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t
//                      o_t = (C_t . h_t + D x_t) silu(z_t)
//
// B batch, T time, E channels, N states. All tensors are f32; rows over E are contiguous.
// Work is split over the batch only, so the result does not depend on the number of threads.
// Channels go in blocks of LANES: every inner loop is one vector instruction. The compiler needs
// `restrict` and `ivdep` to see that the rows it writes never overlap those it reads.
// The backward scan walks chunks of CHUNK steps from the last to the first and recomputes the
// states inside a chunk from the one the forward pass kept at its start.

#include <torch/extension.h>

#include <ATen/Parallel.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

#ifdef __AVX512F__
constexpr int64_t LANES = 16;
#else
constexpr int64_t LANES = 8;
#endif
constexpr int64_t CHUNK = 8;  // what the backward scan keeps of a chunk should fit the first cache

// exp(x) to about 2e-7 relative: 2^round(x/ln 2) times a Taylor polynomial of what is left.
inline float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : (x > 87.0f ? 87.0f : x);
  const float t = x * 1.44269504088896f;
  const float whole = __builtin_floorf(t + 0.5f);
  const float f = t - whole;
  float p = 1.54035304e-4f;
  p = p * f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.0f;
  const int32_t bits = (static_cast<int32_t>(whole) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return p * scale;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

void check_rows(const torch::Tensor& t, const char* name) {
  TORCH_CHECK(t.dim() == 3 && t.scalar_type() == torch::kFloat32, name, ": want f32 [B, T, E]");
  TORCH_CHECK(t.stride(2) == 1 && t.stride(0) == t.size(1) * t.stride(1), name, ": rows must be contiguous");
  TORCH_CHECK(t.size(2) % LANES == 0, name, ": the number of channels must be a multiple of 16");
}

// ---- causal depthwise convolution with SiLU ------------------------------------------------

// pre-activation of one row: w is [K, E], x points at row t of one sequence.
inline void conv_row(const float* x, int64_t stride, int64_t t, const float* w, const float* bias, int64_t K,
                     int64_t E, float* pre) {
  for (int64_t e = 0; e < E; ++e) pre[e] = bias[e];
  for (int64_t k = 0; k < K; ++k) {
    const int64_t back = K - 1 - k;
    if (back > t) continue;
    const float* row = x - back * stride;
    const float* wk = w + k * E;
    for (int64_t e = 0; e < E; ++e) pre[e] += wk[e] * row[e];
  }
}

// x [B, T, E], w [K, E], bias [E] -> [B, T, E]
torch::Tensor conv_forward(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias) {
  check_rows(x, "x");
  const int64_t B = x.size(0), T = x.size(1), E = x.size(2), K = w.size(0), stride = x.stride(1);
  auto out = torch::empty({B, T, E}, x.options());
  const float* xp = x.const_data_ptr<float>();
  const float* wp = w.const_data_ptr<float>();
  const float* bp = bias.const_data_ptr<float>();
  float* op = out.mutable_data_ptr<float>();
  at::parallel_for(0, B, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * T; row < end * T; ++row) {
      float* o = op + row * E;
      conv_row(xp + row * stride, stride, row % T, wp, bp, K, E, o);
      for (int64_t e = 0; e < E; ++e) o[e] *= sigmoid(o[e]);
    }
  });
  return out;
}

// Gradients of x, w and bias.
std::vector<torch::Tensor> conv_backward(const torch::Tensor& grad, const torch::Tensor& x, const torch::Tensor& w,
                                         const torch::Tensor& bias) {
  check_rows(x, "x");
  check_rows(grad, "grad");
  const int64_t B = x.size(0), T = x.size(1), E = x.size(2), K = w.size(0), stride = x.stride(1);
  auto dx = torch::zeros({B, T, E}, x.options());
  auto dw = torch::zeros({B, K, E}, x.options());
  auto db = torch::zeros({B, E}, x.options());
  const float* xp = x.const_data_ptr<float>();
  const float* gp = grad.const_data_ptr<float>();
  const float* wp = w.const_data_ptr<float>();
  const float* bp = bias.const_data_ptr<float>();
  float* dxp = dx.mutable_data_ptr<float>();
  float* dwp = dw.mutable_data_ptr<float>();
  float* dbp = db.mutable_data_ptr<float>();
  const int64_t grad_stride = grad.stride(1);
  at::parallel_for(0, B, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> pre(E);
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t t = 0; t < T; ++t) {
        const int64_t row = b * T + t;
        const float* g = gp + row * grad_stride;
        float* p = pre.data();
        float* bias_grad = dbp + b * E;
        conv_row(xp + row * stride, stride, t, wp, bp, K, E, p);
        for (int64_t e = 0; e < E; ++e) {
          const float s = sigmoid(p[e]);
          p[e] = g[e] * s * (1.0f + p[e] * (1.0f - s));
          bias_grad[e] += p[e];
        }
        for (int64_t k = 0; k < K; ++k) {
          const int64_t back = K - 1 - k;
          if (back > t) continue;
          const float* xr = xp + (row - back) * stride;
          float* dxr = dxp + (row - back) * E;
          float* dwk = dwp + (b * K + k) * E;
          const float* wk = wp + k * E;
          for (int64_t e = 0; e < E; ++e) {
            dxr[e] += wk[e] * p[e];
            dwk[e] += xr[e] * p[e];
          }
        }
      }
    }
  });
  return {dx, dw.sum(0), db.sum(0)};
}

// ---- selective scan ------------------------------------------------------------------------

struct Scan {
  int64_t B, T, E, N, chunks, z_stride;
  const float *x, *dt, *A, *b, *c, *D, *z;  // A is [N, E]; b and c are [B, T, N]
};

Scan read_scan(const torch::Tensor& x, const torch::Tensor& dt, const torch::Tensor& A, const torch::Tensor& b,
               const torch::Tensor& c, const torch::Tensor& D, const torch::Tensor& z) {
  check_rows(x, "x");
  check_rows(dt, "dt");
  check_rows(z, "z");
  TORCH_CHECK(x.is_contiguous() && dt.is_contiguous() && A.is_contiguous() && b.is_contiguous() && c.is_contiguous(),
              "selective scan: x, dt, A, B and C must be contiguous");
  const int64_t T = x.size(1);
  return {x.size(0), T, x.size(2), A.size(0), (T + CHUNK - 1) / CHUNK, z.stride(1),
          x.const_data_ptr<float>(), dt.const_data_ptr<float>(), A.const_data_ptr<float>(),
          b.const_data_ptr<float>(), c.const_data_ptr<float>(), D.const_data_ptr<float>(), z.const_data_ptr<float>()};
}

// Returns the output [B, T, E] and the state at the start of every chunk [B, chunks, E/LANES, N, LANES].
std::vector<torch::Tensor> scan_forward(const torch::Tensor& x, const torch::Tensor& dt, const torch::Tensor& A,
                                        const torch::Tensor& b, const torch::Tensor& c, const torch::Tensor& D,
                                        const torch::Tensor& z) {
  const Scan s = read_scan(x, dt, A, b, c, D, z);
  auto out = torch::empty({s.B, s.T, s.E}, x.options());
  auto kept = torch::empty({s.B, s.chunks, s.E / LANES, s.N, LANES}, x.options());
  float* op = out.mutable_data_ptr<float>();
  float* kp = kept.mutable_data_ptr<float>();
  at::parallel_for(0, s.B, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> state(s.N * LANES);
    for (int64_t batch = begin; batch < end; ++batch) {
      for (int64_t e0 = 0; e0 < s.E; e0 += LANES) {
        float* h = state.data();
        std::fill(state.begin(), state.end(), 0.0f);
        for (int64_t t = 0; t < s.T; ++t) {
          if (t % CHUNK == 0) {
            std::memcpy(kp + ((batch * s.chunks + t / CHUNK) * s.E + e0) * s.N, h, s.N * LANES * sizeof(float));
          }
          const int64_t row = batch * s.T + t;
          const float* dt_row = s.dt + row * s.E + e0;
          const float* x_row = s.x + row * s.E + e0;
          const float* z_row = s.z + row * s.z_stride + e0;
          float y[LANES], delta[LANES], write[LANES];
          for (int64_t l = 0; l < LANES; ++l) {
            delta[l] = dt_row[l];
            write[l] = delta[l] * x_row[l];
            y[l] = s.D[e0 + l] * x_row[l];
          }
          for (int64_t n = 0; n < s.N; ++n) {
            const float bn = s.b[row * s.N + n], cn = s.c[row * s.N + n];
            const float* An = s.A + n * s.E + e0;
            float* hn = h + n * LANES;
            for (int64_t l = 0; l < LANES; ++l) {
              hn[l] = fast_exp(delta[l] * An[l]) * hn[l] + write[l] * bn;
              y[l] += hn[l] * cn;
            }
          }
          float* o = op + row * s.E + e0;
          for (int64_t l = 0; l < LANES; ++l) o[l] = y[l] * z_row[l] * sigmoid(z_row[l]);
        }
      }
    }
  });
  return {out, kept};
}

// Gradients of x, dt, A [N, E], B, C, D and z.
std::vector<torch::Tensor> scan_backward(const torch::Tensor& grad, const torch::Tensor& kept, const torch::Tensor& x,
                                         const torch::Tensor& dt, const torch::Tensor& A, const torch::Tensor& b,
                                         const torch::Tensor& c, const torch::Tensor& D, const torch::Tensor& z) {
  const Scan s = read_scan(x, dt, A, b, c, D, z);
  TORCH_CHECK(grad.is_contiguous(), "selective scan: the gradient must be contiguous");
  auto dx = torch::empty({s.B, s.T, s.E}, x.options());
  auto ddt = torch::empty({s.B, s.T, s.E}, x.options());
  auto dz = torch::empty({s.B, s.T, s.E}, x.options());
  auto dA = torch::zeros({s.B, s.N, s.E}, x.options());
  auto dD = torch::zeros({s.B, s.E}, x.options());
  auto db = torch::empty({s.B, s.T, s.N}, x.options());
  auto dc = torch::empty({s.B, s.T, s.N}, x.options());
  const float* gp = grad.const_data_ptr<float>();
  const float* kp = kept.const_data_ptr<float>();
  float *dxp = dx.mutable_data_ptr<float>(), *ddtp = ddt.mutable_data_ptr<float>();
  float *dzp = dz.mutable_data_ptr<float>(), *dAp = dA.mutable_data_ptr<float>();
  float *dDp = dD.mutable_data_ptr<float>();
  float *dbp = db.mutable_data_ptr<float>(), *dcp = dc.mutable_data_ptr<float>();
  const int64_t block = s.N * LANES;
  at::parallel_for(0, s.B, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> states((CHUNK + 1) * block), decays(CHUNK * block);
    std::vector<float> b_lanes(CHUNK * block), c_lanes(CHUNK * block);
    std::vector<float> adjoint(s.E * s.N);
    for (int64_t batch = begin; batch < end; ++batch) {
      std::fill(adjoint.begin(), adjoint.end(), 0.0f);
      for (int64_t chunk = s.chunks - 1; chunk >= 0; --chunk) {
        const int64_t t0 = chunk * CHUNK;
        const int64_t steps = std::min(CHUNK, s.T - t0);
        std::fill(b_lanes.begin(), b_lanes.end(), 0.0f);
        std::fill(c_lanes.begin(), c_lanes.end(), 0.0f);
        for (int64_t e0 = 0; e0 < s.E; e0 += LANES) {
          std::memcpy(states.data(), kp + ((batch * s.chunks + chunk) * s.E + e0) * s.N, block * sizeof(float));
          for (int64_t i = 0; i < steps; ++i) {
            const int64_t row = batch * s.T + t0 + i;
            const float* __restrict__ dt_row = s.dt + row * s.E + e0;
            const float* __restrict__ x_row = s.x + row * s.E + e0;
            for (int64_t n = 0; n < s.N; ++n) {
              const float bn = s.b[row * s.N + n];
              const float* __restrict__ An = s.A + n * s.E + e0;
              const float* __restrict__ before = states.data() + i * block + n * LANES;
              float* __restrict__ after = states.data() + (i + 1) * block + n * LANES;
              float* __restrict__ decay = decays.data() + i * block + n * LANES;
              #pragma GCC ivdep
              for (int64_t l = 0; l < LANES; ++l) {
                const float a = fast_exp(dt_row[l] * An[l]);
                decay[l] = a;
                after[l] = a * before[l] + dt_row[l] * x_row[l] * bn;
              }
            }
          }
          float* g = adjoint.data() + e0 * s.N;
          for (int64_t i = steps - 1; i >= 0; --i) {
            const int64_t row = batch * s.T + t0 + i;
            const float* __restrict__ dt_row = s.dt + row * s.E + e0;
            const float* __restrict__ x_row = s.x + row * s.E + e0;
            const float* __restrict__ z_row = s.z + row * s.z_stride + e0;
            const float* __restrict__ g_row = gp + row * s.E + e0;
            float y[LANES], dy[LANES], through_b[LANES], through_a[LANES], write[LANES];
            #pragma GCC ivdep
            for (int64_t l = 0; l < LANES; ++l) {
              dy[l] = g_row[l] * z_row[l] * sigmoid(z_row[l]);
              y[l] = s.D[e0 + l] * x_row[l];
              through_a[l] = through_b[l] = 0.0f;
              write[l] = dt_row[l] * x_row[l];
            }
            for (int64_t n = 0; n < s.N; ++n) {
              const float bn = s.b[row * s.N + n], cn = s.c[row * s.N + n];
              const float* __restrict__ An = s.A + n * s.E + e0;
              const float* __restrict__ before = states.data() + i * block + n * LANES;
              const float* __restrict__ after = states.data() + (i + 1) * block + n * LANES;
              const float* __restrict__ decay = decays.data() + i * block + n * LANES;
              float* __restrict__ gn = g + n * LANES;
              float* __restrict__ dAn = dAp + (batch * s.N + n) * s.E + e0;
              float* __restrict__ bl = b_lanes.data() + i * block + n * LANES;
              float* __restrict__ cl = c_lanes.data() + i * block + n * LANES;
              #pragma GCC ivdep
              for (int64_t l = 0; l < LANES; ++l) {
                y[l] += after[l] * cn;
                const float here = gn[l] + dy[l] * cn;
                cl[l] += dy[l] * after[l];
                bl[l] += here * write[l];
                through_b[l] += here * bn;
                const float carried = here * decay[l];
                const float to_exponent = carried * before[l];
                through_a[l] += to_exponent * An[l];
                dAn[l] += to_exponent * dt_row[l];
                gn[l] = carried;
              }
            }
            float* __restrict__ dx_row = dxp + row * s.E + e0;
            float* __restrict__ ddt_row = ddtp + row * s.E + e0;
            float* __restrict__ dz_row = dzp + row * s.E + e0;
            float* __restrict__ dD_row = dDp + batch * s.E + e0;
            #pragma GCC ivdep
            for (int64_t l = 0; l < LANES; ++l) {
              const float gate = sigmoid(z_row[l]);
              dx_row[l] = through_b[l] * dt_row[l] + dy[l] * s.D[e0 + l];
              ddt_row[l] = through_b[l] * x_row[l] + through_a[l];
              dz_row[l] = g_row[l] * y[l] * gate * (1.0f + z_row[l] * (1.0f - gate));
              dD_row[l] += dy[l] * x_row[l];
            }
          }
        }
        for (int64_t i = 0; i < steps; ++i) {
          const int64_t row = batch * s.T + t0 + i;
          for (int64_t n = 0; n < s.N; ++n) {
            float sum_b = 0.0f, sum_c = 0.0f;
            #pragma GCC ivdep
            for (int64_t l = 0; l < LANES; ++l) {
              sum_b += b_lanes[i * block + n * LANES + l];
              sum_c += c_lanes[i * block + n * LANES + l];
            }
            dbp[row * s.N + n] = sum_b;
            dcp[row * s.N + n] = sum_c;
          }
        }
      }
    }
  });
  return {dx, ddt, dA.sum(0), db, dc, dD.sum(0), dz};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("conv_forward", &conv_forward);
  m.def("conv_backward", &conv_backward);
  m.def("scan_forward", &scan_forward);
  m.def("scan_backward", &scan_backward);
}
