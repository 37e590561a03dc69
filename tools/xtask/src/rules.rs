//! The rules, and what breaks them.

use crate::graph::{Crate, Edge, Graph};
use crate::layers::{self, Layer};
use std::fmt;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The table does not know the crate.
    Unknown { name: String },
    /// An edge to the same or a higher layer.
    NotDownwards {
        from: String,
        from_layer: u8,
        to: String,
        to_layer: u8,
    },
    /// One family of codecs imports another.
    FamilyToFamily { from: String, to: String },
    /// An edge downwards that the table does not have.
    NotInTable {
        from: String,
        to: String,
        may_use: Vec<String>,
    },
    /// The training framework in a crate that does not train.
    Training { from: String, to: String },
    /// A dependency of the crate that has none.
    Root { to: String },
    /// A crate whose lints do not forbid `unsafe` code.
    MayBeUnsafe { name: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Unknown { name } => write!(
                f,
                "{name} is not in the table of layers: give it a place in tools/xtask/src/layers.rs"
            ),
            Violation::NotDownwards {
                from,
                from_layer,
                to,
                to_layer,
            } => write!(
                f,
                "{from} (layer {from_layer}) depends on {to} (layer {to_layer}): \
                 edges point to a lower layer"
            ),
            Violation::FamilyToFamily { from, to } => write!(
                f,
                "{from} depends on {to}: families of codecs never import each other; \
                 what both need belongs in a lower layer"
            ),
            Violation::NotInTable { from, to, may_use } => write!(
                f,
                "{from} depends on {to}, but may only be built on {}",
                if may_use.is_empty() {
                    "no crate of the workspace".to_string()
                } else {
                    may_use.join(", ")
                }
            ),
            Violation::Training { from, to } => write!(
                f,
                "{from} depends on {to}: only {} may see the training framework",
                layers::TRAINING_CRATE
            ),
            Violation::Root { to } => write!(
                f,
                "{} depends on {to}: it stands on the standard library alone",
                layers::ROOT_CRATE
            ),
            Violation::MayBeUnsafe { name } => write!(
                f,
                "{name} does not forbid unsafe code: its manifest needs `[lints] workspace = true` \
                 (only {} may contain unsafe code)",
                layers::UNSAFE_CRATE
            ),
        }
    }
}

/// Every violation in the workspace, crate by crate.
pub(crate) fn check(graph: &Graph, table: &[Layer]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for from in &graph.crates {
        if !from.forbids_unsafe && from.name != layers::UNSAFE_CRATE {
            violations.push(Violation::MayBeUnsafe {
                name: from.name.clone(),
            });
        }
        let place = find(table, &from.name);
        if place.is_none() {
            violations.push(Violation::Unknown {
                name: from.name.clone(),
            });
        }
        for edge in &from.edges {
            violations.extend(check_edge(from, place, edge, table));
        }
    }
    violations
}

fn find<'a>(table: &'a [Layer], name: &str) -> Option<&'a Layer> {
    table.iter().find(|row| row.name == name)
}

fn check_edge(
    from: &Crate,
    place: Option<&Layer>,
    edge: &Edge,
    table: &[Layer],
) -> Option<Violation> {
    if !edge.is_inner {
        return check_published(&from.name, edge);
    }
    let (from, to) = (from.name.clone(), edge.to.clone());
    if layers::is_family(&from) && layers::is_family(&to) {
        return Some(Violation::FamilyToFamily { from, to });
    }
    // Crates without a place are reported as such, once.
    let (place, target) = (place?, find(table, &to)?);
    if target.layer >= place.layer {
        return Some(Violation::NotDownwards {
            from,
            from_layer: place.layer,
            to,
            to_layer: target.layer,
        });
    }
    if !edge.is_dev && !place.may_use.contains(&target.name) {
        return Some(Violation::NotInTable {
            from,
            to,
            may_use: place.may_use.iter().map(ToString::to_string).collect(),
        });
    }
    None
}

fn check_published(from: &str, edge: &Edge) -> Option<Violation> {
    let to = edge.to.clone();
    if layers::is_training_framework(&to) && from != layers::TRAINING_CRATE {
        let from = from.to_string();
        return Some(Violation::Training { from, to });
    }
    if from == layers::ROOT_CRATE && !edge.is_dev {
        return Some(Violation::Root { to });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::LAYERS;

    /// A workspace of crates and their edges; `"~name"` is a dependency of
    /// tests only.
    fn graph(crates: &[(&str, &[&str])]) -> Graph {
        let crates = crates.iter().map(|(name, edges)| Crate {
            name: name.to_string(),
            edges: edges.iter().map(|edge| parse_edge(edge)).collect(),
            forbids_unsafe: *name != "rcodec-fixed",
        });
        Graph {
            crates: crates.collect(),
        }
    }

    fn parse_edge(edge: &str) -> Edge {
        let to = edge.trim_start_matches('~');
        Edge {
            to: to.to_string(),
            is_dev: edge.starts_with('~'),
            is_inner: to.starts_with("rcodec"),
        }
    }

    fn violations(crates: &[(&str, &[&str])]) -> Vec<Violation> {
        check(&graph(crates), LAYERS)
    }

    #[test]
    fn the_design_is_allowed() {
        let all: Vec<(&str, &[&str])> = LAYERS.iter().map(|row| (row.name, row.may_use)).collect();
        assert_eq!(violations(&all), []);
        assert_eq!(
            violations(&[
                ("rcodec-core", &["~proptest"]),
                (
                    "rcodec-entropy",
                    &["rcodec-core", "constriction", "~criterion"]
                ),
                ("rcodec-train", &["burn", "burn-flex", "rcodec-fixed"]),
                // Tests may read pictures.
                ("rcodec-image", &["rcodec-entropy", "~rcodec-io"]),
            ]),
            []
        );
    }

    #[test]
    fn upwards_and_sideways_are_found() {
        let found = violations(&[
            ("rcodec-entropy", &["rcodec-core", "rcodec-bitstream"]),
            ("rcodec-model", &["rcodec-image"]),
            ("rcodec-io", &["~rcodec"]),
        ]);
        let edge = |from: &str, from_layer, to: &str, to_layer| Violation::NotDownwards {
            from: from.to_string(),
            from_layer,
            to: to.to_string(),
            to_layer,
        };
        assert_eq!(
            found,
            [
                edge("rcodec-entropy", 1, "rcodec-bitstream", 1),
                edge("rcodec-model", 2, "rcodec-image", 3),
                edge("rcodec-io", 1, "rcodec", 4),
            ]
        );
        let message = found[1].to_string();
        assert!(message.contains("rcodec-model (layer 2) depends on rcodec-image (layer 3)"));
    }

    #[test]
    fn families_are_kept_apart_in_tests_too() {
        for edge in ["rcodec-zstd", "~rcodec-zstd"] {
            let found = violations(&[("rcodec-image", &["rcodec-core", edge])]);
            assert!(matches!(&found[..], [Violation::FamilyToFamily { .. }]));
        }
    }

    #[test]
    fn codecs_do_not_read_files() {
        let found = violations(&[("rcodec-audio", &["rcodec-io", "rcodec-metrics"])]);
        assert_eq!(found.len(), 2);
        assert!(matches!(&found[0], Violation::NotInTable { to, .. } if to == "rcodec-io"));
        assert!(found[0].to_string().contains("rcodec-core, rcodec-entropy"));
    }

    #[test]
    fn only_the_trainer_sees_the_framework() {
        for edge in ["burn", "~burn-ndarray", "cubecl-cuda"] {
            let found = violations(&[("rcodec-cli", &["rcodec", edge])]);
            assert!(matches!(&found[..], [Violation::Training { .. }]), "{edge}");
        }
    }

    #[test]
    fn the_core_stands_alone() {
        let found = violations(&[("rcodec-core", &["rayon", "~proptest"])]);
        assert_eq!(
            found,
            [Violation::Root {
                to: "rayon".to_string()
            }]
        );
    }

    #[test]
    fn newcomers_must_be_placed() {
        let found = violations(&[
            ("rcodec-video", &["rcodec-core"]),
            ("rcodec", &["rcodec-video"]),
        ]);
        assert_eq!(
            found,
            [Violation::Unknown {
                name: "rcodec-video".to_string()
            }]
        );
    }

    #[test]
    fn unsafe_code_is_forbidden_but_in_one_crate() {
        let mut graph = graph(&[("rcodec-fixed", &[]), ("rcodec-entropy", &["rcodec-core"])]);
        assert_eq!(check(&graph, LAYERS), []);
        graph.crates[1].forbids_unsafe = false;
        let found = check(&graph, LAYERS);
        assert!(
            matches!(&found[..], [Violation::MayBeUnsafe { name }] if name == "rcodec-entropy")
        );
    }
}
