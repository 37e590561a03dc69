//! `config.json`: the shape of the network.

use rcodec_core::{Error, Result};
use serde_json::{Map, Value};

/// A positive number of a configuration, exactly: `mantissa · 2^exponent`, as
/// the JSON reader gives it in double precision. It is part of what a model's
/// id is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) mantissa: u64,
    pub(crate) exponent: i32,
}

impl Number {
    /// Of a positive double, by its bits.
    fn new(value: f64) -> Option<Number> {
        let bits = value.to_bits();
        let exponent = (bits >> 52) as i32;
        // Neither negative, nor infinite, nor subnormal.
        (1..0x7ff).contains(&exponent).then_some(Number {
            mantissa: bits & ((1 << 52) - 1) | 1 << 52,
            exponent: exponent - 1075,
        })
    }

    /// In fixed point, rounded down; saturates.
    pub(crate) fn to_fixed(self, q: i32) -> u128 {
        let shift = self.exponent + q;
        match shift {
            0..=74 => u128::from(self.mantissa) << shift,
            75.. => u128::MAX >> 1,
            -63..=-1 => u128::from(self.mantissa >> -shift),
            _ => 0,
        }
    }
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RopeScaling {
    None,
    /// All by the same factor.
    Linear {
        factor: Number,
    },
    /// Low ones by the factor, high ones not, with a ramp between (Llama 3.1).
    Llama3 {
        factor: Number,
        low: Number,
        high: Number,
        original_positions: u32,
    },
}

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) vocabulary: usize,
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) inner_width: usize,
    /// Tokens that it was trained to see at once.
    pub(crate) positions: usize,
    pub(crate) epsilon: Number,
    pub(crate) rope_base: Number,
    pub(crate) rope_scaling: RopeScaling,
    /// The token that every context begins with.
    pub(crate) first_token: u32,
}

const MOST_WIDTH: u64 = 1 << 15;

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what makes no sense, [`Error::Unsupported`] for
    /// other architectures.
    pub(crate) fn parse(json: &[u8]) -> Result<Config> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| Error::Parameter(format!("config.json: {error}")))?;
        let fields = Fields(value.as_object().ok_or_else(|| bad("not an object"))?);
        match fields.text("model_type") {
            Some("llama" | "mistral" | "qwen2" | "qwen3") => {}
            other => {
                return Err(Error::unsupported(format!(
                    "language models of type {} (llama, mistral, qwen2 and qwen3 are)",
                    other.unwrap_or("unknown")
                )));
            }
        }
        if !matches!(fields.text("hidden_act"), None | Some("silu")) {
            return Err(Error::unsupported("activations other than silu"));
        }
        let uses_window = fields.get("use_sliding_window") != Some(&Value::Bool(false));
        if uses_window && fields.get("sliding_window").is_some() {
            return Err(Error::unsupported("attention with a sliding window"));
        }
        let width = fields.size("hidden_size", MOST_WIDTH)?;
        let heads = fields.size("num_attention_heads", 1024)?;
        let kv_heads = fields.size_or("num_key_value_heads", 1024, heads)?;
        let head_width = fields.size_or("head_dim", 256, width / heads)?;
        if heads % kv_heads != 0 || head_width % 2 != 0 || head_width == 0 || head_width > 256 {
            return Err(bad("heads that do not fit"));
        }
        let (rope_base, rope_scaling) = fields.rope()?;
        Ok(Config {
            vocabulary: fields.size("vocab_size", 1 << 20)?,
            width,
            layers: fields.size("num_hidden_layers", 1024)?,
            heads,
            kv_heads,
            head_width,
            inner_width: fields.size("intermediate_size", 1 << 17)?,
            positions: fields.size_or("max_position_embeddings", 1 << 30, 2048)?,
            epsilon: fields.number("rms_norm_eps", 1e-6)?,
            rope_base,
            rope_scaling,
            first_token: fields.first_token()?,
        })
    }
}

fn bad(what: &str) -> Error {
    Error::Parameter(format!("config.json: {what}"))
}

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str)
    }

    fn object(&self, name: &str) -> Option<Fields<'a>> {
        self.get(name).and_then(Value::as_object).map(Fields)
    }

    /// A whole number of 1 to `most`.
    fn size(&self, name: &str, most: u64) -> Result<usize> {
        let size = self.get(name).and_then(Value::as_u64);
        size.filter(|size| (1..=most).contains(size))
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| bad(&format!("{name} is missing or out of range")))
    }

    fn size_or(&self, name: &str, most: u64, default: usize) -> Result<usize> {
        match self.get(name) {
            Some(_) => self.size(name, most),
            None => Ok(default),
        }
    }

    fn number(&self, name: &str, default: f64) -> Result<Number> {
        let value = match self.get(name) {
            Some(value) => value.as_f64(),
            None => Some(default),
        };
        value
            .and_then(Number::new)
            .ok_or_else(|| bad(&format!("{name} is not a positive number")))
    }

    fn rope(&self) -> Result<(Number, RopeScaling)> {
        // Version 5 of transformers has all in one object.
        let together = self.object("rope_parameters");
        let base = match &together {
            Some(fields) => fields.number("rope_theta", 10_000.0)?,
            None => self.number("rope_theta", 10_000.0)?,
        };
        if base.to_fixed(0) < 1 {
            return Err(bad("rope_theta is below 1"));
        }
        let Some(scaling) = together.or_else(|| self.object("rope_scaling")) else {
            return Ok((base, RopeScaling::None));
        };
        let kind = scaling.text("rope_type").or_else(|| scaling.text("type"));
        if scaling.get("partial_rotary_factor").is_some() {
            return Err(Error::unsupported("partly rotary positions"));
        }
        let scaling = match kind {
            None | Some("default") => RopeScaling::None,
            Some("linear") => RopeScaling::Linear {
                factor: scaling.number("factor", 1.0)?,
            },
            Some("llama3") => RopeScaling::Llama3 {
                factor: scaling.number("factor", 8.0)?,
                low: scaling.number("low_freq_factor", 1.0)?,
                high: scaling.number("high_freq_factor", 4.0)?,
                original_positions: scaling.size_or(
                    "original_max_position_embeddings",
                    1 << 24,
                    8192,
                )? as u32,
            },
            Some(other) => {
                return Err(Error::unsupported(format!(
                    "rotary positions of type {other}"
                )));
            }
        };
        Ok((base, scaling))
    }

    /// What a text begins after: the token for that, or the one for its end.
    fn first_token(&self) -> Result<u32> {
        for name in ["bos_token_id", "eos_token_id"] {
            let token = match self.get(name) {
                Some(Value::Array(tokens)) => tokens.first(),
                other => other,
            };
            if let Some(token) = token {
                let token = token.as_u64().and_then(|token| u32::try_from(token).ok());
                return token.ok_or_else(|| bad(&format!("{name} is not a token")));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl FnOnce(&mut Value)) -> Result<Config> {
        let mut value = serde_json::json!({
            "model_type": "llama", "vocab_size": 300, "hidden_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
            "rms_norm_eps": 1e-5, "bos_token_id": 7,
        });
        change(&mut value);
        Config::parse(value.to_string().as_bytes())
    }

    #[test]
    fn fields_have_defaults_and_limits() {
        let config = parse(|_| ()).unwrap();
        assert_eq!(
            (config.kv_heads, config.head_width, config.first_token),
            (4, 16, 7)
        );
        assert_eq!(config.rope_base.to_fixed(0), 10_000);
        assert_eq!(config.epsilon.to_fixed(60), (1e-5 * 2f64.powi(60)) as u128);
        type Change = fn(&mut Value);
        let bad: [Change; 9] = [
            |v| v["vocab_size"] = (1u64 << 40).into(),
            |v| v["hidden_size"] = (-1).into(),
            |v| v["num_key_value_heads"] = 3.into(),
            |v| v["head_dim"] = 17.into(),
            |v| v["rms_norm_eps"] = (-1.0).into(),
            |v| v["rope_theta"] = 0.5.into(),
            |v| v["bos_token_id"] = "x".into(),
            |v| v["num_hidden_layers"] = Value::Null,
            |v| *v = Value::Null,
        ];
        for change in bad {
            assert!(matches!(parse(change), Err(Error::Parameter(_))));
        }
        let unsupported: [Change; 5] = [
            |v| v["model_type"] = "gpt2".into(),
            |v| v["hidden_act"] = "gelu".into(),
            |v| v["sliding_window"] = 4096.into(),
            |v| v["rope_scaling"] = serde_json::json!({"rope_type": "yarn"}),
            |v| v["rope_parameters"] = serde_json::json!({"partial_rotary_factor": 0.5}),
        ];
        for change in unsupported {
            assert!(matches!(parse(change), Err(Error::Unsupported(_))));
        }
    }

    #[test]
    fn rope_is_found_in_both_places() {
        let old = parse(|v| {
            v["rope_theta"] = 500_000.0.into();
            v["rope_scaling"] = serde_json::json!({"type": "linear", "factor": 2.0});
        });
        let new = parse(|v| {
            v["rope_parameters"] =
                serde_json::json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5});
        });
        assert_eq!(old.unwrap(), new.unwrap());
    }
}
