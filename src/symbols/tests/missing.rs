//! Programs whose debug information is somewhere else, or nowhere.

use super::fixture::{Folder, module, symbol, within};

/// What is left of the lines in the program itself is of inlined functions: told of the function that has a
/// symbol, it blames a file of std's, or of heapwatch's, for what another does.
#[test]
fn split_debug_information_never_gives_a_wrong_line() {
    for split in ["packed", "unpacked"] {
        for level in ["line-tables-only", "full"] {
            let folder = Folder::new(&format!("split-{split}-{level}"));
            let (split, level) = (
                format!("-Csplit-debuginfo={split}"),
                format!("-Cdebuginfo={level}"),
            );
            let probe = folder.probe(&[&split, &level]);
            let module = module(&probe);
            for frames in within(&module, symbol(&probe, &["probe", "6caller"])) {
                let outermost = frames.last().unwrap();
                assert_eq!(&*outermost.function, "probe::caller", "{split} {level}");
                assert_eq!((&outermost.file, outermost.line), (&None, None));
            }
        }
    }
}
