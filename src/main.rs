//! The `hawiz` program: everything lives in the library.

/// A plan is many small pieces; the C library's allocator takes a fifth of the time of a large one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // A panic is an internal error and ends as one; its words are on stderr by then.
    std::panic::catch_unwind(hawiz::app::main).unwrap_or(hawiz::problem::Exit::Internal.code()).into()
}
