//! Small models with made-up weights, as folders, and the same network in
//! floats.

use crate::config::Number;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A number of a configuration.
pub(crate) fn number(value: f64) -> Number {
    let bits = value.to_bits();
    Number {
        mantissa: bits & ((1 << 52) - 1) | 1 << 52,
        exponent: (bits >> 52) as i32 - 1075,
    }
}

/// What a made-up model is like.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) config: Value,
    pub(crate) qkv_bias: bool,
    pub(crate) all_bias: bool,
    pub(crate) qk_norm: bool,
    pub(crate) tied: bool,
    /// `BF16`, `F16` or `F32`.
    pub(crate) float_type: &'static str,
    /// Whether the weights of a row are multiples of a 127th of the largest,
    /// so that rounding them to 8 bits changes nothing.
    pub(crate) on_grid: bool,
    pub(crate) seed: u64,
}

impl Shape {
    pub(crate) fn llama() -> Shape {
        Shape {
            config: json!({
                "model_type": "llama", "vocab_size": 300, "hidden_size": 48,
                "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
                "head_dim": 12, "intermediate_size": 80, "rms_norm_eps": 1e-5,
                "rope_theta": 10000.0, "max_position_embeddings": 64, "bos_token_id": 299,
                "hidden_act": "silu",
            }),
            qkv_bias: false,
            all_bias: false,
            qk_norm: false,
            tied: true,
            float_type: "F32",
            on_grid: true,
            seed: 1,
        }
    }

    /// A field of the configuration.
    pub(crate) fn size(&self, name: &str) -> usize {
        self.config[name].as_u64().unwrap() as usize
    }

    pub(crate) fn float(&self, name: &str) -> f64 {
        self.config[name].as_f64().unwrap()
    }

    /// Names and shapes of all tensors.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let [v, d, f, hd] = ["vocab_size", "hidden_size", "intermediate_size", "head_dim"]
            .map(|name| self.size(name));
        let q = self.size("num_attention_heads") * hd;
        let kv = self.size("num_key_value_heads") * hd;
        let mut all = vec![
            ("model.embed_tokens.weight".to_owned(), vec![v, d]),
            ("model.norm.weight".to_owned(), vec![d]),
        ];
        if !self.tied {
            all.push(("lm_head.weight".to_owned(), vec![v, d]));
        }
        for layer in 0..self.size("num_hidden_layers") {
            let mut add = |name: &str, shape: Vec<usize>| {
                all.push((format!("model.layers.{layer}.{name}"), shape));
            };
            for (name, shape, has_bias) in [
                ("self_attn.q_proj", [q, d], self.qkv_bias),
                ("self_attn.k_proj", [kv, d], self.qkv_bias),
                ("self_attn.v_proj", [kv, d], self.qkv_bias),
                ("self_attn.o_proj", [d, q], self.all_bias),
                ("mlp.gate_proj", [f, d], self.all_bias),
                ("mlp.up_proj", [f, d], self.all_bias),
                ("mlp.down_proj", [d, f], self.all_bias),
            ] {
                add(&format!("{name}.weight"), shape.to_vec());
                if has_bias || self.all_bias {
                    add(&format!("{name}.bias"), vec![shape[0]]);
                }
            }
            add("input_layernorm.weight", vec![d]);
            add("post_attention_layernorm.weight", vec![d]);
            if self.qk_norm {
                add("self_attn.q_norm.weight", vec![hd]);
                add("self_attn.k_norm.weight", vec![hd]);
            }
        }
        all
    }

    /// Made-up weights, exact in the float type.
    pub(crate) fn weights(&self) -> Weights {
        let mut random = Random(self.seed);
        let tensors = self.tensors().into_iter().map(|(name, shape)| {
            let columns = *shape.last().unwrap();
            let count: usize = shape.iter().product();
            let values: Vec<f64> = if shape.len() == 1 {
                let centre = if name.contains("norm") { 1.0 } else { 0.0 };
                (0..count)
                    .map(|_| self.exact(centre + 0.5 * random.signed()))
                    .collect()
            } else {
                let unit = if name.contains("embed") || name.contains("head") {
                    0.02
                } else {
                    2.0 / (columns as f64).sqrt() / 127.0
                };
                // A power of two, so that multiples are exact.
                let unit = unit.log2().floor().exp2();
                (0..count)
                    .map(|i| {
                        let q = if i % columns == 0 {
                            127.0
                        } else {
                            (random.signed() * 100.0).round()
                        };
                        let off = if self.on_grid {
                            0.0
                        } else {
                            0.5 * random.signed()
                        };
                        self.exact((q + off) * unit)
                    })
                    .collect()
            };
            (name, (shape, values))
        });
        Weights(tensors.collect())
    }

    /// The nearest number of the float type (towards zero).
    fn exact(&self, value: f64) -> f64 {
        let bits = (value as f32).to_bits();
        let kept = match self.float_type {
            "BF16" => bits & 0xffff_0000,
            "F16" => bits & 0xffff_e000,
            _ => bits,
        };
        f64::from(f32::from_bits(kept))
    }

    fn bytes_of(&self, value: f64) -> Vec<u8> {
        let bits = (value as f32).to_bits();
        match self.float_type {
            "BF16" => ((bits >> 16) as u16).to_le_bytes().to_vec(),
            "F16" => {
                let exponent = (bits >> 23 & 255) as i32 - 127 + 15;
                assert!(
                    value == 0.0 || (1..31).contains(&exponent),
                    "{value} as a half"
                );
                let half = if value == 0.0 {
                    0
                } else {
                    (exponent as u32) << 10 | bits >> 13 & 1023
                };
                ((half | bits >> 16 & 0x8000) as u16).to_le_bytes().to_vec()
            }
            _ => bits.to_le_bytes().to_vec(),
        }
    }

    /// A vocabulary of all bytes and some longer tokens.
    pub(crate) fn tokenizer(&self) -> Value {
        let mut tokens = serde_json::Map::new();
        let mut characters: Vec<char> = (0u8..=255).map(character).collect();
        characters.sort_unstable();
        for (id, c) in characters.into_iter().enumerate() {
            tokens.insert(c.to_string(), id.into());
        }
        for word in [
            "Ġthe", "th", "he", "the", "in", "ing", "Ġa", "Ġan", "and", "Ġand", "er", "re", "ther",
            "ĠĠ", "on",
        ] {
            tokens.insert(word.to_owned(), tokens.len().into());
        }
        tokens.insert("<s>".to_owned(), self.config["bos_token_id"].clone());
        json!({
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": tokens},
            "added_tokens": [{"id": self.config["bos_token_id"], "content": "<s>", "special": true}],
        })
    }

    /// Writes the folder.
    pub(crate) fn write(&self, folder: &Path) {
        self.write_with(folder, &self.weights());
    }

    pub(crate) fn write_with(&self, folder: &Path, weights: &Weights) {
        fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        fs::write(folder.join("tokenizer.json"), self.tokenizer().to_string()).unwrap();
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, (shape, values)) in &weights.0 {
            let start = data.len();
            data.extend(values.iter().flat_map(|&value| self.bytes_of(value)));
            let entry = json!({"dtype": self.float_type, "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name.clone(), entry);
        }
        let header = Value::Object(header).to_string();
        let file = [
            &(header.len() as u64).to_le_bytes()[..],
            header.as_bytes(),
            &data,
        ]
        .concat();
        fs::write(folder.join("model.safetensors"), file).unwrap();
    }
}

fn character(byte: u8) -> char {
    let is_itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_itself(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !is_itself(b)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in -1..1.
    pub(crate) fn signed(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Tensors by name: shape and values.
pub(crate) struct Weights(pub(crate) BTreeMap<String, (Vec<usize>, Vec<f64>)>);

impl Weights {
    fn get(&self, name: &str) -> Option<&[f64]> {
        self.0.get(name).map(|(_, values)| &values[..])
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weights = self.get(&format!("{name}.weight")).unwrap();
        let bias = self.get(&format!("{name}.bias"));
        let rows = weights.chunks_exact(x.len()).enumerate();
        rows.map(|(row, w)| {
            let sum: f64 = w.iter().zip(x).map(|(w, x)| w * x).sum();
            sum + bias.map_or(0.0, |bias| bias[row])
        })
        .collect()
    }

    fn norm(&self, name: &str, x: &[f64], epsilon: f64) -> Vec<f64> {
        let weights = self.get(&format!("{name}.weight")).unwrap();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + epsilon).sqrt();
        x.iter().zip(weights).map(|(x, w)| x * scale * w).collect()
    }
}

/// What `transformers` computes: the logits after each token.
pub(crate) fn reference(shape: &Shape, weights: &Weights, tokens: &[u32]) -> Vec<Vec<f64>> {
    let epsilon = shape.float("rms_norm_eps");
    let [d, heads, kv_heads, hd] = [
        "hidden_size",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
    ]
    .map(|name| shape.size(name));
    let frequencies = frequencies(shape);
    let turn = |x: &mut [f64], position: usize| {
        for i in 0..hd / 2 {
            let (sin, cos) = (position as f64 * frequencies[i]).sin_cos();
            let (a, b) = (x[i], x[i + hd / 2]);
            x[i] = a * cos - b * sin;
            x[i + hd / 2] = b * cos + a * sin;
        }
    };
    let layers = shape.size("num_hidden_layers");
    let mut cache = vec![(Vec::<Vec<f64>>::new(), Vec::<Vec<f64>>::new()); layers];
    let mut all = Vec::new();
    for (position, &token) in tokens.iter().enumerate() {
        let embedding = weights.get("model.embed_tokens.weight").unwrap();
        let mut x = embedding[token as usize * d..][..d].to_vec();
        for (layer, (keys, values)) in cache.iter_mut().enumerate() {
            let at = format!("model.layers.{layer}");
            let normed = weights.norm(&format!("{at}.input_layernorm"), &x, epsilon);
            let project =
                |name: &str| weights.linear(&format!("{at}.self_attn.{name}_proj"), &normed);
            let (mut q, mut k, v) = (project("q"), project("k"), project("v"));
            for (x, name) in [(&mut q, "q"), (&mut k, "k")] {
                for head in x.chunks_exact_mut(hd) {
                    if shape.qk_norm {
                        let name = format!("{at}.self_attn.{name}_norm");
                        head.copy_from_slice(&weights.norm(&name, head, epsilon));
                    }
                    turn(head, position);
                }
            }
            keys.push(k);
            values.push(v);
            let mut mixed = Vec::new();
            for head in 0..heads {
                let kv = head / (heads / kv_heads) * hd;
                let q = &q[head * hd..][..hd];
                let scores = keys.iter().map(|k| {
                    let dot: f64 = q.iter().zip(&k[kv..]).map(|(q, k)| q * k).sum();
                    dot / (hd as f64).sqrt()
                });
                let scores: Vec<f64> = scores.collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let shares: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                let sum: f64 = shares.iter().sum();
                mixed.extend((0..hd).map(|i| {
                    let parts = shares.iter().zip(values.iter());
                    parts.map(|(share, v)| share * v[kv + i]).sum::<f64>() / sum
                }));
            }
            let more = weights.linear(&format!("{at}.self_attn.o_proj"), &mixed);
            x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
            let normed = weights.norm(&format!("{at}.post_attention_layernorm"), &x, epsilon);
            let gate = weights.linear(&format!("{at}.mlp.gate_proj"), &normed);
            let up = weights.linear(&format!("{at}.mlp.up_proj"), &normed);
            let inner: Vec<f64> = gate
                .iter()
                .zip(up)
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            let more = weights.linear(&format!("{at}.mlp.down_proj"), &inner);
            x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
        }
        let last = weights.norm("model.norm", &x, epsilon);
        let head = if shape.tied {
            "model.embed_tokens"
        } else {
            "lm_head"
        };
        all.push(weights.linear(head, &last));
    }
    all
}

/// Angles per position of each pair.
fn frequencies(shape: &Shape) -> Vec<f64> {
    let hd = shape.size("head_dim");
    let base = shape.float("rope_theta");
    let scaling = &shape.config["rope_scaling"];
    let field = |name: &str| scaling[name].as_f64().unwrap();
    let stretch = |frequency: f64| match scaling["rope_type"].as_str() {
        Some("linear") => frequency / field("factor"),
        Some("llama3") => {
            let original = field("original_max_position_embeddings");
            let (low, high) = (field("low_freq_factor"), field("high_freq_factor"));
            let wavelength = std::f64::consts::TAU / frequency;
            if wavelength < original / high {
                frequency
            } else if wavelength > original / low {
                frequency / field("factor")
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                (1.0 - smooth) * frequency / field("factor") + smooth * frequency
            }
        }
        _ => frequency,
    };
    (0..hd / 2)
        .map(|i| stretch(base.powf(-2.0 * i as f64 / hd as f64)))
        .collect()
}
