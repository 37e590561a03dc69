//! The released models are what `models/MANIFEST.toml` says of them.

use rcodec::{Budget, Limits};
use rcodec_model::Model;
use std::fs;
use std::path::Path;

#[test]
fn released_models_stand_in_the_manifest() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let manifest = fs::read_to_string(folder.join("MANIFEST.toml")).unwrap();
    let mut models = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "rcm") {
            continue;
        }
        let file = fs::read(&path).unwrap();
        let budget = Budget::new(Limits::default());
        let name = Model::read(&file, &budget).unwrap().name();
        let file_name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The name ends in digits of the hash of everything in the file.
        let entry = format!(
            "name = \"{name}\"\nfile = \"{file_name}\"\nbytes = {}\n",
            file.len()
        );
        assert!(manifest.contains(&entry), "{entry}");
        models += 1;
    }
    assert_eq!(manifest.matches("[[models]]").count(), models);
}
