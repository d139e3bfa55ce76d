//! Every file that the fuzzers kept goes through its target, on any compiler and without their tools.
#[allow(clippy::panic, reason = "a target panics when a promise is broken")]
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use std::path::Path;

#[test]
fn what_the_fuzzers_kept_breaks_no_promise() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in targets::ALL {
        let folder = kept.join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() >= 8, "{name} has {} files", files.len());
        for file in files {
            // The name of the file stands above the report of a failure.
            println!("{}", file.display());
            target(&std::fs::read(&file).unwrap());
        }
    }
}
