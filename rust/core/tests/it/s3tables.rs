//! S3 Tables by its own API, against a service in this process. The whole-system tests check with another
//! implementation that AWS would accept the signatures.
//!
//! Requests are signed with credentials from the environment, so all tests run in a process that has some.

mod flow;
mod outcomes;
mod rest;
mod server;

#[test]
fn the_services_own_api() {
    let credentials = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-secret"),
    ];
    crate::own_process::run("s3tables::", &credentials);
}
