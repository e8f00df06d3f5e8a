//! Tests that need their own environment, such as AWS credentials. A test cannot change its environment, so
//! it runs ignored tests of this binary in a child process.

use std::process::Command;

/// Runs the ignored tests whose path begins with `tests` with these variables and without the caller's AWS
/// settings. Fails unless at least one test runs and all pass.
pub fn run(tests: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--ignored", tests, "--nocapture"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .envs(variables.iter().copied());
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.contains(" passed; 0 failed") && !text.contains("ok. 0 passed");
    assert!(
        output.status.success() && passed,
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
