//! What the hot calls cost. Ignored: run with `cargo test --release -p usher-store measure -- --ignored --nocapture`.
