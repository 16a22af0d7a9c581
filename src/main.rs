//! The `hawiz` program: everything lives in the library.

fn main() -> std::process::ExitCode {
    // A panic is an internal error and ends as one; its words are on stderr by then.
    std::panic::catch_unwind(hawiz::app::main).unwrap_or(hawiz::problem::Exit::Internal.code()).into()
}
