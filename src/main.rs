//! The program: everything is in [`formant::cli`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    formant::cli::main()
}
