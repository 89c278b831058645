//! Puts ID tokens on the requests of programs that cannot be recompiled.

fn main() -> std::process::ExitCode {
    id_token_sidecar::main()
}
