//! The crates of the workspace and what each may be built on.

/// A crate's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// Name of the crate.
    pub(crate) name: &'static str,
    /// Its layer: dependencies of any kind lie in lower ones.
    pub(crate) layer: u8,
    /// The crates of the workspace it may be built on. Its tests
    /// (dev-dependencies) may use any of a lower layer.
    pub(crate) may_use: &'static [&'static str],
}

/// The crates of layer 3, one family of codecs each.
const FAMILIES: [&str; 4] = ["rcodec-image", "rcodec-audio", "rcodec-text", "rcodec-zstd"];

/// Whether a crate is a family of codecs. Families never import each other.
pub(crate) fn is_family(name: &str) -> bool {
    FAMILIES.contains(&name)
}

/// The only crate that may contain `unsafe` code: it holds the SIMD kernels.
pub(crate) const UNSAFE_CRATE: &str = "rcodec-fixed";

/// The only crate that may depend on the training framework.
pub(crate) const TRAINING_CRATE: &str = "rcodec-train";

/// Whether a published crate belongs to the training framework.
pub(crate) fn is_training_framework(name: &str) -> bool {
    ["burn", "cubecl"]
        .iter()
        .any(|family| match name.strip_prefix(family) {
            Some(rest) => rest.is_empty() || rest.starts_with('-'),
            None => false,
        })
}

/// The crate that has no dependencies at all.
pub(crate) const ROOT_CRATE: &str = "rcodec-core";

const CODING: &[&str] = &[
    "rcodec-core",
    "rcodec-entropy",
    "rcodec-fixed",
    "rcodec-model",
];

/// All crates, those to come included.
pub(crate) const LAYERS: &[Layer] = &[
    place(ROOT_CRATE, 0, &[]),
    place("rcodec-bitstream", 1, &["rcodec-core"]),
    place("rcodec-entropy", 1, &["rcodec-core"]),
    place(UNSAFE_CRATE, 1, &["rcodec-core"]),
    place("rcodec-metrics", 1, &["rcodec-core"]),
    place("rcodec-io", 1, &["rcodec-core"]),
    place("rcodec-datasets", 1, &["rcodec-core"]),
    place(
        "rcodec-model",
        2,
        &["rcodec-core", "rcodec-entropy", "rcodec-fixed"],
    ),
    place("rcodec-llm", 2, &["rcodec-core", "rcodec-fixed"]),
    place("rcodec-image", 3, CODING),
    place("rcodec-audio", 3, CODING),
    place(
        "rcodec-text",
        3,
        &[
            "rcodec-core",
            "rcodec-entropy",
            "rcodec-fixed",
            "rcodec-llm",
            "rcodec-model",
        ],
    ),
    place("rcodec-zstd", 3, &["rcodec-core"]),
    place(
        "rcodec",
        4,
        &[
            "rcodec-core",
            "rcodec-bitstream",
            "rcodec-model",
            "rcodec-image",
            "rcodec-audio",
            "rcodec-text",
            "rcodec-zstd",
        ],
    ),
    place(
        "rcodec-cli",
        5,
        &["rcodec", "rcodec-io", "rcodec-metrics", "rcodec-model"],
    ),
    place(
        TRAINING_CRATE,
        5,
        &[
            "rcodec-core",
            "rcodec-model",
            "rcodec-metrics",
            "rcodec-io",
            "rcodec-entropy",
            "rcodec-fixed",
            "rcodec-audio",
            "rcodec-image",
            "rcodec-text",
        ],
    ),
    // What nothing else is built on.
    place("rcodec-conformance", 6, &["rcodec"]),
    place("rcodec-tests", 6, ANY),
    place("rcodec-benches", 6, ANY),
    // It shares nothing with what it checks.
    place("rcodec-reference-decoder", 6, &[]),
    place("xtask", 6, &[]),
];

/// For packages that test or measure everything but train nothing.
const ANY: &[&str] = &[
    "rcodec",
    "rcodec-audio",
    "rcodec-bitstream",
    "rcodec-cli",
    "rcodec-core",
    "rcodec-datasets",
    "rcodec-entropy",
    "rcodec-fixed",
    "rcodec-llm",
    "rcodec-image",
    "rcodec-io",
    "rcodec-metrics",
    "rcodec-model",
    "rcodec-text",
    "rcodec-zstd",
];

const fn place(name: &'static str, layer: u8, may_use: &'static [&'static str]) -> Layer {
    Layer {
        name,
        layer,
        may_use,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_itself_points_downwards() {
        for row in LAYERS {
            for used in row.may_use {
                let below = LAYERS.iter().find(|other| other.name == *used).unwrap();
                assert!(below.layer < row.layer, "{} → {used}", row.name);
            }
            assert_eq!(LAYERS.iter().filter(|r| r.name == row.name).count(), 1);
        }
    }

    #[test]
    fn families_share_a_layer() {
        for family in FAMILIES {
            let row = LAYERS.iter().find(|row| row.name == family).unwrap();
            assert_eq!(row.layer, 3);
            assert!(!row.may_use.contains(&"rcodec-io"));
            assert!(!row.may_use.contains(&"rcodec-metrics"));
        }
    }

    #[test]
    fn the_training_framework_is_known_by_name() {
        for name in ["burn", "burn-flex", "cubecl", "cubecl-cuda"] {
            assert!(is_training_framework(name), "{name}");
        }
        assert!(!is_training_framework("burner"));
        assert!(!is_training_framework("sunburn"));
    }
}
