//! Any program that puts a POSIX shell on its stdin: a container, a jump, a test world.
//!
//! Why it exists: `via = ["docker", "exec", "-i", "lab3", "sh"]` is as good a way to a node as any. Invariant: the argv is
//! started as it was written, in the folder of the site file, where a program named by a relative path is looked for too.

use super::{Stream, local};
use std::ffi::OsString;
use std::io;
use std::path::Path;

pub fn open(argv: &[String], base: &Path) -> io::Result<Stream> {
    let Some((program, args)) = argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "`via` is empty"));
    };
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let program = if program.contains('/') { base.join(program).into_os_string() } else { OsString::from(program) };
    local::start(&program, args, base)
}
