//! The operations of this layer on a GPU, but for the recurrent ones: `kernels/layers.cu` and products by cuBLAS.
//!
//! Each function is the twin of one on the CPU beside which it is called; shapes have been checked there.
#![forbid(unsafe_code)]

use super::patches::Axis;
use crate::cuda::tensors::output;
pub use crate::cuda::tensors::{Output, on_host, tensor, view, with};
use crate::cuda::{Argument, Call, Grid, Kernel, Matrix, Staging};
use crate::lengths::Lengths;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Shape, Tensor};

/// Batches on their way to a GPU.
#[derive(Default)]
pub struct Uploads(Staging);

impl Uploads {
    /// The numbers as a tensor there. Nobody waits for the copy.
    pub fn tensor(&mut self, device: &CudaDevice, numbers: &[f32], shape: impl Into<Shape>) -> Result<Tensor> {
        let call = Call(device);
        Ok(tensor(call, self.0.upload(call, numbers)?, shape))
    }
}

/// A kernel of `layers.cu` that covers `n` numbers: its first argument is n, its last ones are `inputs` and the result.
fn over(
    call: Call<'_>,
    name: &str,
    n: usize,
    options: &[&dyn Argument],
    inputs: &[&CudaView<'_, f32>],
) -> Result<CudaSlice<f32>> {
    let (result, count) = (call.room(n)?, n as u64);
    let mut arguments: Vec<&dyn Argument> = vec![&count];
    arguments.extend(options);
    arguments.extend(inputs.iter().map(|input| *input as &dyn Argument));
    arguments.push(&result);
    if n > 0 {
        call.launch(Kernel("layers", name), Grid::over(n), &arguments)?;
    }
    Ok(result)
}

/// `y = f(x)`, number by number.
pub fn map(name: &str, options: &[&dyn Argument], x: &CudaStorage, layout: &Layout) -> Output {
    let call = Call(&x.device);
    output(call, over(call, name, layout.shape().elem_count(), options, &[&view(x, layout)?])?, layout.shape())
}

/// [`map`] for tensors in a backward pass: of `inputs` alike in shape.
pub fn map_tensors<const K: usize>(name: &str, options: &[&dyn Argument], inputs: [&Tensor; K]) -> Result<Tensor> {
    let shape = inputs[0].shape();
    with(inputs, |call, views| {
        let views: Vec<_> = views.iter().collect();
        Ok(tensor(call, over(call, name, shape.elem_count(), options, &views)?, shape))
    })
}

/// A kernel of `layers.cu` whose result has another shape.
pub fn reshaped(
    name: &str,
    options: &[&dyn Argument],
    x: &CudaStorage,
    layout: &Layout,
    to: impl Into<Shape>,
) -> Output {
    let (call, shape) = (Call(&x.device), to.into());
    output(call, over(call, name, shape.elem_count(), options, &[&view(x, layout)?])?, shape)
}

/// [`reshaped`] for a tensor in a backward pass.
pub fn reshaped_tensor(name: &str, options: &[&dyn Argument], d: &Tensor, to: &Shape) -> Result<Tensor> {
    with([d], |call, [d]| Ok(tensor(call, over(call, name, to.elem_count(), options, &[&d])?, to)))
}

/// `a + b`.
pub fn add(a: &CudaStorage, la: &Layout, b: &CudaStorage, lb: &Layout) -> Output {
    let call = Call(&a.device);
    output(call, over(call, "add", la.shape().elem_count(), &[], &[&view(a, la)?, &view(b, lb)?])?, la.shape())
}

/// `[N, 2 F]` to `[N, F]`: the halves of every row added up.
pub fn add_halves(x: &CudaStorage, layout: &Layout) -> Output {
    let (call, (rows, width)) = (Call(&x.device), layout.shape().dims2()?);
    let columns = width / 2;
    output(call, over(call, "add_halves", rows * columns, &[&(columns as i32)], &[&view(x, layout)?])?, (rows, columns))
}

/// `[N, F]` to `[N, 2 F]`: every row twice.
pub fn repeat_halves(dy: &Tensor) -> Result<Tensor> {
    let (rows, columns) = dy.dims2()?;
    with([dy], |call, [dy]| {
        let dx = over(call, "repeat_halves", rows * 2 * columns, &[&(columns as i32)], &[&dy])?;
        Ok(tensor(call, dx, (rows, 2 * columns)))
    })
}

/// A kernel of `layers.cu` with a block a row: its first argument is the row's width.
fn by_row(call: Call<'_>, name: &str, [rows, width]: [usize; 2], arguments: &[&dyn Argument]) -> Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let width_argument = width as i32;
    let all: Vec<&dyn Argument> =
        std::iter::once(&width_argument as &dyn Argument).chain(arguments.iter().copied()).collect();
    call.launch(Kernel("layers", name), Grid::rows(rows, width), &all)
}

/// The sum of each column.
pub fn column_sums(call: Call<'_>, [rows, columns]: [usize; 2], x: &dyn Argument, to: &dyn Argument) -> Result<()> {
    let grid = Grid { blocks: columns.div_ceil(32), threads: 1024, shared: 1024, cooperative: false };
    call.launch(Kernel("layers", "column_sums"), grid, &[&(rows as i32), &(columns as i32), x, to])
}

/// `x w^T + b`.
pub fn linear([x, w, b]: [(&CudaStorage, &Layout); 3]) -> Output {
    let ((rows, inputs), outputs) = (x.1.shape().dims2()?, b.1.shape().dims1()?);
    let call = Call(&x.0.device);
    let y = call.room(rows * outputs)?;
    let [x, w, b] = [view(x.0, x.1)?, view(w.0, w.1)?, view(b.0, b.1)?];
    let [at_x, at_w, at_y] = [call.address(&x), call.address(&w), call.address(&y)];
    let sides = [rows, outputs, inputs];
    call.product(sides, Matrix::new(at_x, inputs), Matrix::new(at_w, inputs).t(), Matrix::new(at_y, outputs), 1)?;
    if rows > 0 {
        let n = rows * outputs;
        call.launch(Kernel("layers", "add_bias"), Grid::over(n), &[&(n as u64), &(outputs as i32), &b, &y])?;
    }
    output(call, y, (rows, outputs))
}

/// The gradients of x, if somebody asks for it, w and b.
pub fn linear_backward(x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Tensor, Tensor)> {
    let ((rows, inputs), outputs, asked) = (x.dims2()?, w.dim(0)?, x.track_op());
    with([x, w, dy], |call, [x, w, dy]| {
        let [at_x, at_w, at_dy] = [&x, &w, &dy].map(|view| call.address(view));
        let (dw, db) = (call.room(outputs * inputs)?, call.room(outputs)?);
        let dy_matrix = Matrix::new(at_dy, outputs);
        let x_matrix = Matrix::new(at_x, inputs);
        call.product([outputs, inputs, rows], dy_matrix.t(), x_matrix, Matrix::new(call.address(&dw), inputs), 1)?;
        column_sums(call, [rows, outputs], &dy, &db)?;
        let dx = if asked {
            let dx = call.room(rows * inputs)?;
            let sides = [rows, inputs, outputs];
            call.product(sides, dy_matrix, Matrix::new(at_w, inputs), Matrix::new(call.address(&dx), inputs), 1)?;
            Some(tensor(call, dx, (rows, inputs)))
        } else {
            None
        };
        Ok((dx, tensor(call, dw, (outputs, inputs)), tensor(call, db, outputs)))
    })
}

/// Layer normalisation.
pub fn layer_norm([x, w, b]: [(&CudaStorage, &Layout); 3]) -> Output {
    let ((rows, width), call) = (x.1.shape().dims2()?, Call(&x.0.device));
    let y = call.room(rows * width)?;
    let arguments = [view(x.0, x.1)?, view(w.0, w.1)?, view(b.0, b.1)?];
    by_row(call, "layer_norm_forward", [rows, width], &[&arguments[0], &arguments[1], &arguments[2], &y])?;
    output(call, y, (rows, width))
}

/// The gradients of x, w and b.
pub fn layer_norm_backward(x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<[Tensor; 3]> {
    let (rows, width) = x.dims2()?;
    with([x, w, dy], |call, [x, w, dy]| {
        let (dx, dw_rows) = (call.room(rows * width)?, call.room(rows * width)?);
        by_row(call, "layer_norm_backward", [rows, width], &[&x, &w, &dy, &dx, &dw_rows])?;
        let (dw, db) = (call.room(width)?, call.room(width)?);
        column_sums(call, [rows, width], &dw_rows, &dw)?;
        column_sums(call, [rows, width], &dy, &db)?;
        Ok([tensor(call, dx, (rows, width)), tensor(call, dw, width), tensor(call, db, width)])
    })
}

/// Softmax of every row.
pub fn softmax(x: &CudaStorage, layout: &Layout) -> Output {
    let ((rows, width), call) = (layout.shape().dims2()?, Call(&x.device));
    let y = call.room(rows * width)?;
    by_row(call, "softmax_forward", [rows, width], &[&view(x, layout)?, &y])?;
    output(call, y, (rows, width))
}

/// Its gradient.
pub fn softmax_backward(y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (rows, width) = y.dims2()?;
    with([y, dy], |call, [y, dy]| {
        let dx = call.room(rows * width)?;
        by_row(call, "softmax_backward", [rows, width], &[&y, &dy, &dx])?;
        Ok(tensor(call, dx, (rows, width)))
    })
}

/// A dropout mask: the key of its bits, below which of 16 a number is zeroed, the scale of the others, and, if the frames
/// of an utterance share it, their layout.
pub struct Mask<'a> {
    /// Of the stream of bits.
    pub key: u64,
    /// Of 65,536.
    pub threshold: u32,
    /// Of what stays.
    pub scale: f32,
    /// Whose frames share a mask.
    pub lengths: Option<&'a Lengths>,
}

impl Mask<'_> {
    fn apply(&self, call: Call<'_>, x: &CudaView<'_, f32>, n: usize) -> Result<CudaSlice<f32>> {
        let rows = match self.lengths {
            Some(lengths) => Some(call.upload(&lengths.places().map(|(_, b)| b as i32).collect::<Vec<_>>())?),
            None => None,
        };
        let columns = self.lengths.map_or(1, |lengths| n / lengths.rows().max(1)) as i32;
        let nothing = 0_u64;
        let rows: &dyn Argument = rows.as_ref().map_or(&nothing, |rows| rows);
        over(call, "dropout", n, &[&self.key, &self.threshold, &self.scale, &columns, rows], &[x])
    }

    /// A storage under the mask.
    pub fn forward(&self, x: &CudaStorage, layout: &Layout) -> Output {
        let call = Call(&x.device);
        output(call, self.apply(call, &view(x, layout)?, layout.shape().elem_count())?, layout.shape())
    }

    /// A gradient under the mask.
    pub fn backward(&self, dy: &Tensor) -> Result<Tensor> {
        with([dy], |call, [x]| Ok(tensor(call, self.apply(call, &x, dy.elem_count())?, dy.shape())))
    }
}

/// First rows of all times, then lengths.
pub fn layout(lengths: &Lengths) -> Vec<i32> {
    lengths.offsets().iter().chain(lengths.sorted()).map(|n| *n as i32).collect()
}

/// Neighbourhoods, as `Patches` of `patches.rs`.
pub struct Patches<'a> {
    /// Layouts of input and output.
    pub lengths: [&'a Lengths; 2],
    /// Along time and along the mel axis.
    pub axes: [Axis; 2],
    /// Channels of a bin.
    pub channels: usize,
    /// Bins of a frame of the input.
    pub bins: usize,
}

impl Patches<'_> {
    /// Numbers of a row of the output.
    fn width(&self) -> usize {
        let [frames, bins] = self.axes;
        bins.outputs(self.bins) * frames.kernel * bins.kernel * self.channels
    }

    /// Looks from rows laid out as `own` at rows laid out as `other`.
    fn run(
        &self,
        call: Call<'_>,
        name: &str,
        [own, other]: [&Lengths; 2],
        x: &CudaView<'_, f32>,
        n: usize,
    ) -> Result<CudaSlice<f32>> {
        let axis = |axis: Axis, inputs: usize| {
            [
                axis.kernel as i32,
                axis.stride as i32,
                (axis.kernel as i32 - axis.stride as i32).div_euclid(2),
                inputs as i32,
            ]
        };
        let ([t0, t1, t2, t3], [b0, b1, b2, b3]) = (axis(self.axes[0], 0), axis(self.axes[1], self.bins));
        let shape = [t0, t1, t2, t3, b0, b1, b2, b3, self.channels as i32, self.axes[1].outputs(self.bins) as i32];
        let (frames, utterances): (Vec<_>, Vec<_>) = own.places().map(|(t, b)| (t as i32, b as i32)).unzip();
        let uploaded = [call.upload(&frames)?, call.upload(&utterances)?, call.upload(&layout(other))?];
        let (offsets, lengths) = uploaded[2].split_at(other.steps() + 1);
        over(call, name, n, &[&shape, &uploaded[0], &uploaded[1], &offsets, &lengths], &[x])
    }

    /// What every output looks at.
    pub fn gather(&self, x: &CudaStorage, layout: &Layout) -> Output {
        let (call, [before, after]) = (Call(&x.device), self.lengths);
        let shape = (after.rows(), self.width());
        output(call, self.run(call, "patches_forward", [after, before], &view(x, layout)?, shape.0 * shape.1)?, shape)
    }

    /// What every input gets back.
    pub fn scatter(&self, dy: &Tensor) -> Result<Tensor> {
        let [before, after] = self.lengths;
        let shape = (before.rows(), self.bins * self.channels);
        with([dy], |call, [dy]| {
            Ok(tensor(call, self.run(call, "patches_backward", [before, after], &dy, shape.0 * shape.1)?, shape))
        })
    }
}
