//! The workspace as a graph, read from `cargo metadata` and the manifests.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::fs;

/// The crates of a workspace and what they declare.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    /// Sorted by name.
    pub(crate) crates: Vec<Crate>,
}

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Crate {
    /// Its name.
    pub(crate) name: String,
    /// Every dependency it declares: optional ones and those of other
    /// platforms included.
    pub(crate) edges: Vec<Edge>,
    /// Whether its lints forbid `unsafe` code.
    pub(crate) forbids_unsafe: bool,
}

/// A declared dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Name of the crate depended on (not what it is renamed to).
    pub(crate) to: String,
    /// Whether only tests, examples and benchmarks use it.
    pub(crate) is_dev: bool,
    /// Whether it is another crate of this workspace.
    pub(crate) is_inner: bool,
}

impl Graph {
    /// The workspace of the current directory.
    pub(crate) fn of_workspace() -> Result<Self, String> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .map_err(|e| e.to_string())?;
        Graph::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &Metadata) -> Result<Self, String> {
        let root_manifest = read_toml(metadata.workspace_root.join("Cargo.toml").as_str())?;
        let workspace_forbids = root_manifest
            .get("workspace")
            .is_some_and(|workspace| lints_forbid_unsafe(workspace.get("lints")));
        let packages = metadata.workspace_packages();
        let mut crates = packages
            .iter()
            .map(|package| {
                let manifest = read_toml(package.manifest_path.as_str())?;
                Ok(Crate {
                    name: package.name.to_string(),
                    edges: edges_of(package, &packages),
                    forbids_unsafe: forbids_unsafe(&manifest, workspace_forbids),
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        crates.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Graph { crates })
    }

    /// The number of edges between crates of the workspace.
    pub(crate) fn inner_edges(&self) -> usize {
        let edges = self.crates.iter().flat_map(|from| &from.edges);
        edges.filter(|edge| edge.is_inner).count()
    }
}

fn edges_of(package: &Package, packages: &[&Package]) -> Vec<Edge> {
    let edges = package.dependencies.iter().map(|dependency| Edge {
        to: dependency.name.clone(),
        is_dev: dependency.kind == DependencyKind::Development,
        is_inner: dependency.path.is_some()
            && packages
                .iter()
                .any(|other| other.name.as_str() == dependency.name),
    });
    edges.collect()
}

fn read_toml(path: &str) -> Result<toml::Table, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    text.parse().map_err(|e| format!("{path}: {e}"))
}

/// Whether a crate's manifest forbids `unsafe`, by itself or by taking the
/// workspace's lints.
fn forbids_unsafe(manifest: &toml::Table, workspace_forbids: bool) -> bool {
    let lints = manifest.get("lints");
    let takes_workspace_lints = lints
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool)
        .unwrap_or(false);
    takes_workspace_lints && workspace_forbids || lints_forbid_unsafe(lints)
}

/// Whether `rust.unsafe_code` is `"forbid"` in a table of lints. `"deny"` is
/// not enough: an attribute in the source could allow it again.
fn lints_forbid_unsafe(lints: Option<&toml::Value>) -> bool {
    let lint = lints
        .and_then(|lints| lints.get("rust"))
        .and_then(|rust| rust.get("unsafe_code"));
    let level = lint.map(|lint| lint.get("level").unwrap_or(lint));
    level.and_then(toml::Value::as_str) == Some("forbid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbids(manifest: &str, workspace_forbids: bool) -> bool {
        forbids_unsafe(&manifest.parse().unwrap(), workspace_forbids)
    }

    #[test]
    fn lints_are_understood() {
        assert!(forbids("[lints]\nworkspace = true", true));
        assert!(!forbids("[lints]\nworkspace = true", false));
        assert!(!forbids("", true));
        assert!(forbids("[lints.rust]\nunsafe_code = 'forbid'", false));
        assert!(!forbids("[lints.rust]\nunsafe_code = 'deny'", true));
        let with_priority = "[lints.rust.unsafe_code]\nlevel = 'forbid'\npriority = 1";
        assert!(forbids(with_priority, false));
    }

    #[test]
    fn this_workspace_can_be_read() {
        let graph = Graph::of_workspace().unwrap();
        let this = graph.crates.iter().find(|c| c.name == "xtask").unwrap();
        assert!(this.forbids_unsafe);
        assert!(this.edges.iter().any(|edge| edge.to == "cargo_metadata"));
        assert!(this.edges.iter().all(|edge| !edge.is_inner));
    }
}
