//! A kernel's run on an engine: its shader on a GPU, its twin on the processor.

use super::engine::Backend;
use super::recording::{Dispatch, Shader};
use super::tensor::Element;
use super::{Engine, Tensor};

/// Lanes of a workgroup of `shaders/per_element.wgsl`.
const LANES: usize = 64;
/// Words of a uniform, the same for all shaders: no kernel has more parameters.
const WORDS: usize = 16;

/// The shader `shaders/NAME.wgsl`, behind the files that it shares with others.
macro_rules! shader {
    ($name:literal $(, $shared:literal)*) => {
        $crate::gpu::Shader {
            name: $name,
            wgsl: &[
                $(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders/", $shared, ".wgsl")),)*
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders/", $name, ".wgsl")),
            ],
        }
    };
}
pub(crate) use shader;

/// A number among a shader's parameters.
pub(crate) trait Word {
    /// Its 32 bits.
    fn word(self) -> u32;
}

impl Word for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl Word for usize {
    fn word(self) -> u32 {
        self as u32
    }
}

impl Word for f32 {
    fn word(self) -> u32 {
        self.to_bits()
    }
}

impl Word for bool {
    fn word(self) -> u32 {
        self.into()
    }
}

/// One run of a kernel: what its shader is given. The shader's outputs come with the run.
pub(crate) struct Launch<'a> {
    shader: &'static Shader,
    /// Values of the shader's `override` constants.
    constants: &'a [(&'static str, f64)],
    /// The uniform at binding 0. Its first word is `count`, how many elements or groups there are.
    params: [u32; WORDS],
    inputs: &'a [&'a Tensor],
    /// Workgroups in x, y, z.
    pub(crate) groups: [u32; 3],
}

impl<'a> Launch<'a> {
    /// A shader with an invocation for each of `count` elements (`per_element.wgsl`).
    pub(crate) fn per_element(
        shader: &'static Shader,
        count: usize,
        params: &[u32],
        inputs: &'a [&'a Tensor],
    ) -> Self {
        Self { groups: grid(count.div_ceil(LANES)), ..Self::per_group(shader, count, params, inputs) }
    }

    /// A shader with a workgroup for each of `count` rows or other pieces (`per_group.wgsl`).
    pub(crate) fn per_group(
        shader: &'static Shader,
        count: usize,
        params: &[u32],
        inputs: &'a [&'a Tensor],
    ) -> Self {
        let mut words = [0; WORDS];
        words[0] = count.word();
        words[1..=params.len()].copy_from_slice(params);
        Self { shader, constants: &[], params: words, inputs, groups: grid(count) }
    }

    /// The same with values for the shader's `override` constants.
    pub(crate) fn with(self, constants: &'a [(&'static str, f64)]) -> Self {
        Self { constants, ..self }
    }

    fn engine(&self) -> &'a Engine {
        self.inputs.first().expect("a kernel reads something").engine()
    }

    /// The output, of this shape: from the shader, or from the twin on the processor.
    pub(crate) fn run<T: Element>(&self, shape: &[usize], twin: impl FnOnce() -> Vec<T>) -> Tensor {
        let [output] = self.run_all([shape], || [twin()]);
        output
    }

    /// As [`Launch::run`], for several outputs.
    pub(crate) fn run_all<T: Element, const N: usize>(
        &self,
        shapes: [&[usize]; N],
        twin: impl FnOnce() -> [Vec<T>; N],
    ) -> [Tensor; N] {
        let engine = self.engine();
        match engine.backend() {
            Backend::Cpu => {
                let mut values = twin().into_iter();
                shapes
                    .map(|shape| Tensor::of(engine, shape, values.next().expect("as many outputs as shapes")))
            }
            Backend::Gpu(_) => {
                let outputs = shapes.map(|shape| Tensor::output(engine, shape, T::DTYPE));
                self.record(&outputs.each_ref());
                outputs
            }
        }
    }

    /// Changes tensors: by the shader, whose outputs they are, or by the twin on the processor. Who shares their
    /// content keeps the old one.
    pub(crate) fn in_place<const N: usize>(
        &self,
        tensors: [&mut Tensor; N],
        twin: impl FnOnce([&mut [f32]; N]),
    ) {
        match self.engine().backend() {
            Backend::Cpu => twin(tensors.map(|tensor| tensor.f32s_mut())),
            Backend::Gpu(_) => {
                let tensors = tensors.map(|tensor| {
                    tensor.unshare();
                    &*tensor
                });
                self.record(&tensors);
            }
        }
    }

    /// Records the shader's run, unless there is nothing to write.
    ///
    /// # Panics
    /// On the CPU engine, and when a tensor lives on another one.
    pub(crate) fn record(&self, outputs: &[&Tensor]) {
        let Backend::Gpu(gpu) = self.engine().backend() else {
            panic!("{} is recorded on a GPU only", self.shader.name)
        };
        if self.params[0] > 0 && !outputs.iter().all(|output| output.is_empty()) {
            let tensors = self.inputs.iter().chain(outputs);
            gpu.record(&Dispatch {
                shader: self.shader,
                constants: self.constants,
                params: bytemuck::cast_slice(&self.params),
                bound: &tensors.map(|tensor| (tensor.buffer(), tensor.bytes())).collect::<Vec<_>>(),
                groups: self.groups,
            });
        }
    }
}

/// Lays `n` workgroups out as x·y, since a dimension holds at most 65,535. Shaders find their group as
/// `wid.x + wid.y * num.x` and return when it is not below `n`.
pub(crate) fn grid(n: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let x = n.clamp(1, MOST);
    [x as u32, n.div_ceil(x).max(1) as u32, 1]
}
