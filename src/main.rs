//! The `hawiz` program: everything lives in the library.

fn main() -> std::process::ExitCode {
    hawiz::app::main().into()
}
