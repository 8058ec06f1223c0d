//! mLSTM (Beck et al. 2024, xLSTM, equations 19 to 27): an LSTM whose cell is a matrix, written to by keys and values and
//! read by queries. Nothing of a frame's gates depends on the frame before, so frames are worked on together, a chunk
//! at a time: within a chunk as attention, from chunk to chunk as a recurrence.
//!
//! ```text
//! C_t = f_t C_{t-1} + i_t v_t k_t^T      n_t = f_t n_{t-1} + i_t k_t      i = exp(i~), f = σ(f~), k / sqrt(d)
//! h_t = σ(o_t) ∘ C_t q_t / max(|n_t q_t|, 1)
//! ```
//!
//! C and n are kept scaled by exp(-m_t), m_t being the largest exponent so far, so that no exponential overflows. h does
//! not depend on m, which therefore has no gradient.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
use super::product::{Element, View, add_product, product};
use crate::lengths::Lengths;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Frames of a chunk: few enough that attention within it costs no more than the matrix.
const CHUNK: usize = 64;

/// Columns of `a` for one direction: queries, keys, values and output gates `[hidden]`, input and forget gates `[heads]`.
pub fn columns(hidden: usize, heads: usize) -> usize {
    4 * hidden + 2 * heads
}

/// `a` `[N, D (4 H + 2 heads)]`, see [`columns`], packed as `lengths` says, to `[N, D H]`, the forward direction first.
pub fn mlstm(a: &Tensor, directions: usize, hidden: usize, heads: usize, lengths: &Lengths) -> Result<Tensor> {
    if heads == 0
        || !hidden.is_multiple_of(heads)
        || a.dims2()? != (lengths.rows(), directions * columns(hidden, heads))
    {
        bail!("mlstm: {:?} for {directions} directions of {hidden} units in {heads} heads", a.dims())
    }
    a.contiguous()?.apply_op1(Mlstm { directions, hidden, heads, lengths: lengths.clone() })
}

struct Mlstm {
    directions: usize,
    hidden: usize,
    heads: usize,
    lengths: Lengths,
}

/// One head of one utterance in one direction: its frames in the order of running.
struct Sequence<T> {
    /// `[frames, d]` each.
    q: Vec<T>,
    k: Vec<T>,
    v: Vec<T>,
    o: Vec<T>,
    /// Logarithms of the input and the forget gates.
    log_i: Vec<f64>,
    log_f: Vec<f64>,
    /// `σ(-f~)`: the derivative of the forget gate's logarithm.
    closed: Vec<f64>,
    size: usize,
}

/// The memory between two chunks, scaled by `exp(-m)`: `C` `[d, d]` (values by keys), `n` `[d]`.
#[derive(Clone)]
struct Memory<T> {
    c: Vec<T>,
    n: Vec<T>,
    m: f64,
}

/// What a chunk's forward pass computed; L is its number of frames.
struct Chunk<T> {
    /// `[L, L]`: `exp(a_ts - m_t)`, what of frame s is left at frame t; zero after the diagonal.
    left: Vec<T>,
    /// `[L, L]`: that times `q_t k_s`.
    scores: Vec<T>,
    /// `[L]`: what of the memory before the chunk is left at frame t.
    old: Vec<T>,
    /// `[L, d]`: `C_0 q_t`.
    recalled: Vec<T>,
    /// `[L]`: `n_0 q_t`.
    recalled_n: Vec<T>,
    /// `[L, d]`: `C_t q_t` over the normaliser.
    read: Vec<T>,
    /// `[L]`: `n_t q_t`, signed, and the normaliser.
    weight: Vec<T>,
    normaliser: Vec<T>,
    /// `[L]`: what of frame s is left at the chunk's end; and of the memory before it.
    kept: Vec<T>,
    kept_old: T,
}

fn dot<T: WithDType>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::zero(), |sum, (a, b)| sum + *a * *b)
}

/// Row t of `rows` times `by[t]`.
fn scaled<T: WithDType>(rows: &[T], by: &[T], width: usize) -> Vec<T> {
    rows.chunks_exact(width).zip(by).flat_map(|(row, by)| row.iter().map(|x| *x * *by)).collect()
}

impl<T: Element + WithDType> Memory<T> {
    fn empty(size: usize) -> Self {
        // Lower than any gate's logarithm, and finite, so that no difference is infinity minus infinity.
        Self { c: vec![T::zero(); size * size], n: vec![T::zero(); size], m: -1e30 }
    }
}

impl<T: Element + WithDType> Sequence<T> {
    fn frames(&self) -> usize {
        self.log_i.len()
    }

    fn chunks(&self) -> impl DoubleEndedIterator<Item = std::ops::Range<usize>> + ExactSizeIterator + use<T> {
        let frames = self.frames();
        (0..frames.div_ceil(CHUNK)).map(move |n| n * CHUNK..frames.min((n + 1) * CHUNK))
    }

    fn part<'a>(&self, rows: &'a [T], range: &std::ops::Range<usize>) -> &'a [T] {
        &rows[range.start * self.size..range.end * self.size]
    }

    /// Reads the frames in `range`, given the memory before them, and leaves the one after them.
    fn chunk(&self, range: &std::ops::Range<usize>, memory: &mut Memory<T>) -> Chunk<T> {
        let (len, d) = (range.len(), self.size);
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|rows| self.part(rows, range));
        let log_i = &self.log_i[range.clone()];
        // The sums of the forget gates' logarithms since the chunk began.
        let mut sum = 0.0;
        let sums: Vec<f64> = self.log_f[range.clone()]
            .iter()
            .map(|f| {
                sum += f;
                sum
            })
            .collect();
        let exponent = |t: usize, s: usize| sums[t] - sums[s] + log_i[s];
        let m: Vec<f64> =
            (0..len).map(|t| (0..=t).map(|s| exponent(t, s)).fold(sums[t] + memory.m, f64::max)).collect();

        let mut left = vec![T::zero(); len * len];
        for (t, row) in left.chunks_exact_mut(len).enumerate() {
            row[..=t].iter_mut().enumerate().for_each(|(s, left)| *left = T::from_f64((exponent(t, s) - m[t]).exp()));
        }
        let mut scores = product(View::new(q, len, d), View::new(k, len, d).t());
        scores.iter_mut().zip(&left).for_each(|(score, left)| *score *= *left);
        let old: Vec<T> = (0..len).map(|t| T::from_f64((sums[t] + memory.m - m[t]).exp())).collect();
        let recalled = product(View::new(q, len, d), View::new(&memory.c, d, d).t());
        let recalled_n: Vec<T> = q.chunks_exact(d).map(|q| dot(q, &memory.n)).collect();
        let mut read = scaled(&recalled, &old, d);
        add_product(&mut read, View::new(&scores, len, len), View::new(v, len, d));
        let weight: Vec<T> = (0..len)
            .map(|t| scores[t * len..(t + 1) * len].iter().fold(old[t] * recalled_n[t], |sum, s| sum + *s))
            .collect();
        let larger = |(weight, m): (&T, &f64)| T::from_f64(weight.to_f64().abs().max((-m).exp()));
        let normaliser: Vec<T> = weight.iter().zip(&m).map(larger).collect();
        for (row, normaliser) in read.chunks_exact_mut(d).zip(&normaliser) {
            row.iter_mut().for_each(|x| *x /= *normaliser);
        }

        let last = len - 1;
        let end = m[last];
        let kept: Vec<T> = (0..len).map(|s| T::from_f64((exponent(last, s) - end).exp())).collect();
        let kept_old = old[last];
        let kept_v = scaled(v, &kept, d);
        memory.c.iter_mut().chain(&mut memory.n).for_each(|x| *x *= kept_old);
        add_product(&mut memory.c, View::new(&kept_v, len, d).t(), View::new(k, len, d));
        add_product(&mut memory.n, View::new(&kept, 1, len), View::new(k, len, d));
        memory.m = end;
        Chunk { left, scores, old, recalled, recalled_n, read, weight, normaliser, kept, kept_old }
    }

    /// The output, `[frames, d]`.
    fn forward(&self) -> Vec<T> {
        let mut memory = Memory::empty(self.size);
        let mut y = Vec::with_capacity(self.q.len());
        for range in self.chunks() {
            let read = self.chunk(&range, &mut memory).read;
            y.extend(read.into_iter().zip(self.part(&self.o, &range)).map(|(read, o)| read * *o));
        }
        y
    }

    /// Gradients, given that of the output: of q, k, v and the output gate before its σ, of the input gate's logarithm
    /// and the forget gate before its σ.
    fn backward(&self, dy: &[T]) -> ([Vec<T>; 4], [Vec<T>; 2]) {
        let (d, mut memory) = (self.size, Memory::empty(self.size));
        let mut chunks = Vec::new();
        for range in self.chunks() {
            let before = memory.clone();
            let chunk = self.chunk(&range, &mut memory);
            chunks.push((range, before, chunk));
        }
        let zeros = || vec![T::zero(); self.q.len()];
        let (mut dq, mut dk, mut dv, mut d_o) = (zeros(), zeros(), zeros(), zeros());
        let (mut di, mut df) = (vec![T::zero(); self.frames()], vec![T::zero(); self.frames()]);
        let mut carried = Memory::<T>::empty(d);
        for (range, before, chunk) in chunks.into_iter().rev() {
            let len = range.len();
            let rows = range.start * d..range.end * d;
            let [q, k, v, o, dy] = [&self.q[..], &self.k, &self.v, &self.o, dy].map(|x| self.part(x, &range));
            for (((d_o, read), o), dy) in d_o[rows.clone()].iter_mut().zip(&chunk.read).zip(o).zip(dy) {
                *d_o = *dy * *read * *o * (T::one() - *o);
            }
            // The read value is a sum over a normaliser: gradients of the sum, and of the signed weight.
            let mut d_sum: Vec<T> = dy.iter().zip(o).map(|(dy, o)| *dy * *o).collect();
            let mut d_weight = Vec::with_capacity(len);
            for (t, d_sum) in d_sum.chunks_exact_mut(d).enumerate() {
                let (weight, normaliser) = (chunk.weight[t], chunk.normaliser[t]);
                let down = dot(d_sum, &chunk.read[t * d..(t + 1) * d]) / normaliser;
                let counts = weight.to_f64().abs() >= normaliser.to_f64();
                let sign = T::from_f64(weight.to_f64().signum());
                d_weight.push(if counts { T::zero() - down * sign } else { T::zero() });
                d_sum.iter_mut().for_each(|x| *x /= normaliser);
            }
            let (q_view, k_view, v_view) = (View::new(q, len, d), View::new(k, len, d), View::new(v, len, d));
            let d_sum_view = View::new(&d_sum, len, d);

            // Within the chunk.
            let mut d_scores = product(d_sum_view, v_view.t());
            for (t, row) in d_scores.chunks_exact_mut(len).enumerate() {
                row.iter_mut().for_each(|x| *x += d_weight[t]);
            }
            let d_exponents: Vec<T> = d_scores.iter().zip(&chunk.scores).map(|(d, s)| *d * *s).collect();
            let d_products: Vec<T> = d_scores.iter().zip(&chunk.left).map(|(d, left)| *d * *left).collect();
            let d_products = View::new(&d_products, len, len);
            add_product(&mut dq[rows.clone()], d_products, k_view);
            add_product(&mut dk[rows.clone()], d_products.t(), q_view);
            add_product(&mut dv[rows.clone()], View::new(&chunk.scores, len, len).t(), d_sum_view);

            // What the memory before the chunk gave.
            let d_recalled = scaled(&d_sum, &chunk.old, d);
            let d_recalled_n: Vec<T> = d_weight.iter().zip(&chunk.old).map(|(d, old)| *d * *old).collect();
            add_product(&mut dq[rows.clone()], View::new(&d_recalled, len, d), View::new(&before.c, d, d));
            add_product(&mut dq[rows.clone()], View::new(&d_recalled_n, len, 1), View::new(&before.n, 1, d));
            let d_old = |t: usize| {
                dot(&d_recalled[t * d..(t + 1) * d], &chunk.recalled[t * d..(t + 1) * d])
                    + d_recalled_n[t] * chunk.recalled_n[t]
            };

            // What the chunk left in the memory after it.
            let to_v = product(k_view, View::new(&carried.c, d, d).t());
            let mut to_k = product(v_view, View::new(&carried.c, d, d));
            for row in to_k.chunks_exact_mut(d) {
                row.iter_mut().zip(&carried.n).for_each(|(x, n)| *x += *n);
            }
            let d_kept: Vec<T> =
                (0..len).map(|s| chunk.kept[s] * dot(&to_k[s * d..(s + 1) * d], &k[s * d..(s + 1) * d])).collect();
            dv[rows.clone()].iter_mut().zip(scaled(&to_v, &chunk.kept, d)).for_each(|(dv, x)| *dv += x);
            dk[rows.clone()].iter_mut().zip(scaled(&to_k, &chunk.kept, d)).for_each(|(dk, x)| *dk += x);
            let d_kept_old = chunk.kept_old * (dot(&carried.c, &before.c) + dot(&carried.n, &before.n));

            // Exponents: a_ts = sums_t - sums_s + log i_s, and the sums are those of all forget gates up to t.
            let mut d_sums: Vec<T> = (0..len).map(d_old).collect();
            for (t, row) in d_exponents.chunks_exact(len).enumerate() {
                for (s, d) in row[..=t].iter().enumerate() {
                    d_sums[t] += *d;
                    d_sums[s] -= *d;
                    di[range.start + s] += *d;
                }
            }
            for (s, d) in d_kept.iter().enumerate() {
                d_sums[len - 1] += *d;
                d_sums[s] -= *d;
                di[range.start + s] += *d;
            }
            d_sums[len - 1] += d_kept_old;
            let mut later = T::zero();
            for t in (0..len).rev() {
                later += d_sums[t];
                df[range.start + t] = later * T::from_f64(self.closed[range.start + t]);
            }

            carried.c.iter_mut().chain(&mut carried.n).for_each(|x| *x *= chunk.kept_old);
            add_product(&mut carried.c, View::new(&d_recalled, len, d).t(), q_view);
            add_product(&mut carried.n, View::new(&d_recalled_n, 1, len), q_view);
        }
        ([dq, dk, dv, d_o], [di, df])
    }
}

impl Mlstm {
    fn size(&self) -> usize {
        self.hidden / self.heads
    }

    /// Direction, head and utterance of every sequence.
    fn all(&self) -> Vec<(usize, usize, usize)> {
        let utterances = |d, h| (0..self.lengths.batch()).map(move |b| (d, h, b));
        (0..self.directions).flat_map(|d| (0..self.heads).flat_map(move |h| utterances(d, h))).collect()
    }

    /// Rows of an utterance in the order in which a direction runs through them.
    fn rows(&self, direction: usize, b: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.lengths.sorted()[b]).map(|t| self.lengths.row(t, b)).collect();
        if direction == 1 {
            rows.reverse();
        }
        rows
    }

    /// Where in a row of `a` a direction's n-th block of H columns has the head's part; block 4 begins the gates.
    fn column(&self, direction: usize, block: usize, head: usize) -> usize {
        let within = if block < 4 { head * self.size() } else { head };
        direction * columns(self.hidden, self.heads) + block * self.hidden + within
    }

    fn width(&self) -> usize {
        self.directions * columns(self.hidden, self.heads)
    }

    fn sequence<T: Element + WithDType>(&self, a: &[T], (direction, head, b): (usize, usize, usize)) -> Sequence<T> {
        let (rows, size) = (self.rows(direction, b), self.size());
        let take = |block: usize, f: &dyn Fn(T) -> T| {
            let start = |row: &usize| row * self.width() + self.column(direction, block, head);
            rows.iter().flat_map(|row| a[start(row)..][..size].iter().map(|x| f(*x))).collect::<Vec<T>>()
        };
        let gate = |extra: usize, f: fn(f64) -> f64| {
            let at = |row: &usize| a[row * self.width() + self.column(direction, 4, head) + extra];
            rows.iter().map(|row| f(at(row).to_f64())).collect::<Vec<f64>>()
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let root = T::from_f64(1.0 / (size as f64).sqrt());
        Sequence {
            q: take(0, &|x| x),
            k: take(1, &|x| x * root),
            v: take(2, &|x| x),
            o: take(3, &|x| T::from_f64(sigmoid(x.to_f64()))),
            log_i: gate(0, |x| x),
            log_f: gate(self.heads, |x| x.min(0.0) - (-x.abs()).exp().ln_1p()),
            closed: gate(self.heads, |x| 1.0 / (1.0 + x.exp())),
            size,
        }
    }

    fn forward<T: Element + WithDType>(&self, a: &[T]) -> Vec<T> {
        let (all, size) = (self.all(), self.size());
        let outputs: Vec<Vec<T>> = all.par_iter().map(|which| self.sequence(a, *which).forward()).collect();
        let mut y = vec![T::zero(); self.lengths.rows() * self.directions * self.hidden];
        for (&(direction, head, b), output) in all.iter().zip(&outputs) {
            for (row, output) in self.rows(direction, b).into_iter().zip(output.chunks_exact(size)) {
                y[(row * self.directions + direction) * self.hidden + head * size..][..size].copy_from_slice(output);
            }
        }
        y
    }

    fn backward<T: Element + WithDType>(&self, a: &[T], dy: &[T]) -> Vec<T> {
        let (all, size) = (self.all(), self.size());
        let run = |&(direction, head, b): &(usize, usize, usize)| {
            let start = |row: usize| (row * self.directions + direction) * self.hidden + head * size;
            let own: Vec<T> =
                self.rows(direction, b).into_iter().flat_map(|row| dy[start(row)..][..size].iter().copied()).collect();
            self.sequence(a, (direction, head, b)).backward(&own)
        };
        let found: Vec<_> = all.par_iter().map(run).collect();
        let root = T::from_f64(1.0 / (size as f64).sqrt());
        let mut da = vec![T::zero(); a.len()];
        for (&(direction, head, b), (blocks, gates)) in all.iter().zip(&found) {
            for (t, row) in self.rows(direction, b).into_iter().enumerate() {
                for (block, d) in blocks.iter().enumerate() {
                    let to = &mut da[row * self.width() + self.column(direction, block, head)..][..size];
                    // The keys are scaled on their way in.
                    let scale = if block == 1 { root } else { T::one() };
                    to.iter_mut().zip(&d[t * size..]).for_each(|(to, d)| *to = *d * scale);
                }
                for (gate, d) in gates.iter().enumerate() {
                    da[row * self.width() + self.column(direction, 4, head) + gate * self.heads] = d[t];
                }
            }
        }
        da
    }
}

impl CustomOp1 for Mlstm {
    fn name(&self) -> &'static str {
        "mlstm"
    }

    fn cpu_fwd(&self, a: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = match a {
            CpuStorage::F32(_) => CpuStorage::F32(self.forward(op::slice(a, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.forward(op::slice(a, layout)?)),
            _ => bail!("mlstm: only f32 and f64"),
        };
        Ok((y, (self.lengths.rows(), self.directions * self.hidden).into()))
    }

    // It has no kernel yet.
    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, a: &CudaStorage, layout: &Layout) -> gpu::Output {
        gpu::on_host(a, layout, (self.lengths.rows(), self.directions * self.hidden), |a| self.forward(a))
    }

    fn bwd(&self, a: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        if !a.device().is_cpu() {
            let device = a.device();
            let [a, y, dy] = [a, y, &dy].map(|tensor| tensor.to_device(&Device::Cpu));
            let da = self.bwd(&a?, &y?, &dy?)?;
            return da.map(|da| da.to_device(device)).transpose();
        }
        Ok(Some(match a.dtype() {
            DType::F64 => {
                let da = op::with_slices([a, &dy], |[a, dy]: [&[f64]; 2]| self.backward(a, dy))?;
                op::from_vec(da, a.shape())?
            }
            _ => {
                let da = op::with_slices([a, &dy], |[a, dy]: [&[f32]; 2]| self.backward(a, dy))?;
                op::from_vec(da, a.shape())?
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn random(count: usize, scale: f32) -> Vec<f64> {
        let mut rng = Rng::stream(1, "mlstm", count as u64);
        (0..count).map(|_| f64::from(scale * rng.normal())).collect()
    }

    fn op(lengths: &[usize], directions: usize, hidden: usize, heads: usize) -> Mlstm {
        Mlstm { directions, hidden, heads, lengths: Lengths::new(lengths) }
    }

    /// The recurrence, frame by frame, without scaling.
    fn plainly(op: &Mlstm, a: &[f64]) -> Vec<f64> {
        let (d, mut y) = (op.size(), vec![0.0; op.lengths.rows() * op.directions * op.hidden]);
        for (direction, head, b) in op.all() {
            let (mut c, mut n) = (vec![0.0; d * d], vec![0.0; d]);
            for row in op.rows(direction, b) {
                let part = |block: usize| &a[row * op.width() + op.column(direction, block, head)..];
                let (q, k, v, o) = (part(0), part(1), part(2), part(3));
                let (i, f) = (part(4)[0].exp(), 1.0 / (1.0 + (-part(4)[op.heads]).exp()));
                let k: Vec<f64> = k[..d].iter().map(|k| k / (d as f64).sqrt()).collect();
                for r in 0..d {
                    n[r] = f * n[r] + i * k[r];
                    (0..d).for_each(|s| c[r * d + s] = f * c[r * d + s] + i * v[r] * k[s]);
                }
                let normaliser = (0..d).map(|s| n[s] * q[s]).sum::<f64>().abs().max(1.0);
                for r in 0..d {
                    let read: f64 = (0..d).map(|s| c[r * d + s] * q[s]).sum();
                    let at = (row * op.directions + direction) * op.hidden + head * d + r;
                    y[at] = read / normaliser / (1.0 + (-o[r]).exp());
                }
            }
        }
        y
    }

    #[test]
    fn chunks_are_the_recurrence() {
        for (lengths, directions, hidden, heads) in
            [(&[1_usize][..], 1, 2, 1), (&[5, 0, 3], 2, 6, 2), (&[150, 64, 65], 2, 8, 2)]
        {
            let op = op(lengths, directions, hidden, heads);
            let a = random(op.lengths.rows() * op.width(), 1.5);
            let truth = plainly(&op, &a);
            let close = |y: f64, truth: f64, bound: f64| (y - truth).abs() <= bound * (1.0 + truth.abs());
            assert!(op.forward(&a).iter().zip(&truth).all(|(y, t)| close(*y, *t, 1e-10)), "{lengths:?}");
            let single: Vec<f32> = a.iter().map(|x| *x as f32).collect();
            assert!(op.forward(&single).iter().zip(&truth).all(|(y, t)| close((*y).into(), *t, 2e-4)), "{lengths:?}");
        }
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let op = op(&[70, 3], 2, 4, 2);
        let mut a = random(op.lengths.rows() * op.width(), 1.0);
        let dy = random(op.lengths.rows() * op.directions * op.hidden, 1.0);
        let da = op.backward(&a, &dy);
        for n in (0..a.len()).step_by(7) {
            let mut probe = |delta: f64| {
                a[n] += delta;
                let loss = op.forward(&a).iter().zip(&dy).map(|(y, d)| y * d).sum::<f64>();
                a[n] -= delta;
                loss
            };
            let numeric = (probe(1e-5) - probe(-1e-5)) / 2e-5;
            assert!((numeric - da[n]).abs() < 1e-6 * (1.0 + numeric.abs()), "{n}: {numeric} {}", da[n]);
        }
        let single: Vec<f32> = a.iter().map(|x| *x as f32).collect();
        let single = op.backward(&single, &dy.iter().map(|x| *x as f32).collect::<Vec<_>>());
        let scale = da.iter().fold(1.0_f64, |most, d| most.max(d.abs()));
        assert!(single.iter().zip(&da).all(|(s, d)| (f64::from(*s) - d).abs() < 1e-4 * scale));
    }

    #[test]
    fn extreme_gates_and_long_utterances_stay_finite() -> Result<()> {
        let (hidden, heads, frames) = (4, 1, 20_000);
        let numbers: Vec<f32> = random(frames * columns(hidden, heads), 30.0).iter().map(|x| *x as f32).collect();
        let a = Tensor::from_vec(numbers, (frames, columns(hidden, heads)), &Device::Cpu)?;
        let a = candle_core::Var::from_tensor(&a)?;
        let y = mlstm(&a, 1, hidden, heads, &Lengths::new(&[frames]))?;
        let gradients = y.sum_all()?.backward()?;
        let finite = |t: &Tensor| op::to_vec::<f32>(t).map(|v| v.iter().all(|x| x.is_finite()));
        assert!(finite(&y)?);
        assert!(gradients.get(&a).map(finite).transpose()?.unwrap_or(false));
        Ok(())
    }
}
