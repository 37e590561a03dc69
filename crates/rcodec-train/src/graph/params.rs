//! All weights in one vector, and what part of it belongs to whom.

use crate::random::{Purpose, Random};

/// How a parameter begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// One value.
    Constant(f32),
    /// Normal, with this standard deviation.
    Normal(f32),
    /// Given values.
    Values(Vec<f32>),
    /// Given values with normal noise of this standard deviation on top, so
    /// that what is zero can learn.
    Noisy(Vec<f32>, f32),
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// `graph.layer.part`.
    pub name: String,
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    /// Where it begins in the flat vector.
    pub start: usize,
    /// How it begins.
    pub init: Init,
    /// Whether weight decay applies.
    pub decay: bool,
}

impl ParamSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its part of the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len()
    }
}

/// Names a parameter of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Param(pub usize);

/// The parameters of a model, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// In the order of the flat vector.
    pub params: Vec<ParamSpec>,
    len: usize,
}

impl Layout {
    /// Adds a parameter.
    pub fn add(&mut self, name: String, shape: &[usize], init: Init, decay: bool) -> Param {
        let spec = ParamSpec {
            name,
            shape: shape.to_vec(),
            start: self.len,
            init,
            decay,
        };
        self.len += spec.len();
        self.params.push(spec);
        Param(self.params.len() - 1)
    }

    /// Changes how the parameter of that name begins.
    pub fn set_init(&mut self, name: &str, init: Init) {
        for spec in self.params.iter_mut().filter(|spec| spec.name == name) {
            spec.init = init.clone();
        }
    }

    /// A parameter's description.
    pub fn spec(&self, param: Param) -> &ParamSpec {
        &self.params[param.0]
    }

    /// A parameter's values.
    pub fn slice<'v>(&self, param: Param, values: &'v [f32]) -> &'v [f32] {
        &values[self.spec(param).range()]
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no weights.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The flat vector to begin with.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.len);
        for (i, spec) in self.params.iter().enumerate() {
            let mut random = Random::at(seed, Purpose::Weights, i as u64);
            let len = spec.len();
            match &spec.init {
                Init::Constant(value) => values.extend(std::iter::repeat_n(*value, len)),
                Init::Normal(std) => values.extend((0..len).map(|_| std * random.normal())),
                Init::Values(given) => {
                    assert_eq!(given.len(), len, "initial values of {}", spec.name);
                    values.extend(given);
                }
                Init::Noisy(given, std) => {
                    assert_eq!(given.len(), len, "initial values of {}", spec.name);
                    values.extend(given.iter().map(|v| v + std * random.normal()));
                }
            }
        }
        values
    }

    /// 1 where weight decay applies, 0 elsewhere.
    pub fn decay_mask(&self) -> Vec<f32> {
        self.params
            .iter()
            .flat_map(|spec| std::iter::repeat_n(f32::from(spec.decay), spec.len()))
            .collect()
    }

    /// Hash of names and shapes: two layouts with one fingerprint mean the
    /// same by a flat vector.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for spec in &self.params {
            hasher.update(format!("{} {:?}\n", spec.name, spec.shape).as_bytes());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}
