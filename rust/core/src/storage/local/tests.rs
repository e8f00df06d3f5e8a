use iceberg::TableIdent;

use super::*;
use crate::catalog::{self, table_spec};
use crate::config::Config;
use crate::signal::Table;

fn location(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn file_appears_only_when_closed_and_leaves_nothing_else() {
    let root = tempfile::tempdir().expect("tempdir");
    let path = root.path().join("a/b/c.avro");
    let io = local_file_io();
    let mut writer = io
        .new_output(location(&path))
        .expect("output")
        .writer()
        .await
        .expect("writer");
    writer.write(Bytes::from_static(b"one")).await.expect("write");
    assert!(!path.exists(), "visible before close");
    writer.write(Bytes::from_static(b"two")).await.expect("write");
    writer.close().await.expect("close");
    assert!(writer.close().await.is_err(), "closed twice");
    assert_eq!(names(path.parent().expect("parent")), ["c.avro"]);
    let input = io.new_input(location(&path)).expect("input");
    assert_eq!(input.read().await.expect("read"), "onetwo");
    let reader = input.reader().await.expect("reader");
    assert_eq!(reader.read(2..5).await.expect("range"), "etw");
    assert_eq!(
        io.new_input(path.to_str().expect("utf-8"))
            .expect("input")
            .metadata()
            .await
            .expect("size")
            .size,
        6
    );
}

/// A killed process leaves such a file.
#[tokio::test]
async fn an_unfinished_file_is_no_data_and_hidden_only_where_there_is_no_table() {
    for (kind, hidden) in [("sql", false), ("none", true)] {
        let root = tempfile::tempdir().expect("tempdir");
        let json = format!(
            r#"{{"catalog": {{"type": "{kind}", "warehouse": {:?}}}}}"#,
            root.path()
        );
        let config = Config::from_json(json.as_bytes()).expect("valid");
        let catalog = catalog::open(&config).await.expect("opens");
        let ident = TableIdent::from_strs(["otel", "logs"]).expect("ident");
        let spec = table_spec(&config, Table::Logs).expect("table spec");
        let table = catalog.ensure(&ident, Some(spec)).await.expect("made");
        let folder = root.path().join("day");
        let output = table.file_io.new_output(location(&folder.join("1.parquet")));
        let mut writer = output.expect("output").writer().await.expect("writer");
        writer.write(Bytes::from_static(b"half")).await.expect("write");
        let [name] = names(&folder).try_into().expect("one file");
        let ending = name.strip_prefix(if hidden { ".1.parquet." } else { "1.parquet." });
        assert!(
            ending.is_some_and(|ending| ending.ends_with("tmp")),
            "{kind}: {name}"
        );
    }
}

#[tokio::test]
async fn writer_dropped_before_close_leaves_no_file() {
    let root = tempfile::tempdir().expect("tempdir");
    let path = root.path().join("half.avro");
    let io = local_file_io();
    let mut writer = io
        .new_output(location(&path))
        .expect("output")
        .writer()
        .await
        .expect("writer");
    writer.write(Bytes::from_static(b"half")).await.expect("write");
    drop(writer);
    assert_eq!(names(root.path()), Vec::<String>::new());
}

#[tokio::test]
async fn error_names_the_path_the_cause_and_what_to_do() {
    let root = tempfile::tempdir().expect("tempdir");
    fs::write(root.path().join("file"), "x").expect("write");
    let path = root.path().join("file/below.json");
    let error = local_file_io()
        .new_output(location(&path))
        .expect("output")
        .write(Bytes::new())
        .await
        .expect_err("a file is in the way");
    let text = error.to_string();
    assert!(
        text.contains("file") && text.contains("a file is in the way of a folder"),
        "{text}"
    );
}

#[tokio::test]
async fn a_location_in_another_storage_is_refused_and_no_folder() {
    let io = local_file_io();
    for location in ["s3://bucket/t/a.parquet", "gs://b/a", "abfss://c@a.net/a"] {
        let output = io.new_output(location).expect("output");
        for error in [
            output.write(Bytes::new()).await.expect_err("not here"),
            io.exists(location).await.expect_err("not here"),
            io.delete(location).await.expect_err("not here"),
        ] {
            let text = error.to_string();
            for part in [location, "in local folders", "file://"] {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(!text.contains("mounted"), "{text}");
        }
    }
    let root = tempfile::tempdir().expect("tempdir");
    let odd = format!("{}/a://b", root.path().display());
    io.new_output(&odd)
        .expect("output")
        .write(Bytes::new())
        .await
        .expect("a folder called a:");
    assert!(io.exists(&odd).await.expect("looked"));
}

#[tokio::test]
async fn a_location_that_leads_out_of_its_folder_is_refused() {
    let root = tempfile::tempdir().expect("tempdir");
    let outside = root.path().join("outside");
    fs::create_dir_all(root.path().join("table/metadata")).expect("folders");
    fs::write(&outside, "kept").expect("write");
    let io = local_file_io();
    let path = root.path().display();
    for location in [
        format!("file://{path}/table/../outside"),
        format!("file:{path}/table/metadata/../../outside"),
        format!("{path}/table/metadata/../../outside"),
    ] {
        let output = io.new_output(&location).expect("output");
        for error in [
            output.write(Bytes::from_static(b"x")).await.expect_err("refused"),
            io.exists(&location).await.expect_err("refused"),
            io.delete(&location).await.expect_err("refused"),
            io.delete_prefix(&location).await.expect_err("refused"),
        ] {
            let text = error.to_string();
            assert!(text.contains(&location) && text.contains("a part `..`"), "{text}");
        }
    }
    assert_eq!(fs::read(&outside).expect("still there"), b"kept");
    assert_eq!(names(root.path()), ["outside", "table"]);
    // Dots are part of a name.
    let dots = location(&root.path().join("..a..b"));
    io.new_output(&dots)
        .expect("output")
        .write(Bytes::new())
        .await
        .expect("a name");
    assert!(io.exists(&dots).await.expect("looked"));
}

#[test]
fn an_absolute_path_has_no_parts_that_lead_upwards() {
    let here = std::env::current_dir().expect("current directory");
    for (given, expected) in [
        ("/w/a/../b", PathBuf::from("/w/b")),
        ("/w/./a", PathBuf::from("/w/a")),
        ("/../../w", PathBuf::from("/w")),
        ("w/../v", here.join("v")),
    ] {
        assert_eq!(
            absolute_path(Path::new(given)).expect("absolute"),
            expected,
            "{given}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_before_a_part_that_leads_upwards_is_followed() {
    let root = tempfile::tempdir().expect("tempdir");
    let real = fs::canonicalize(root.path()).expect("path");
    fs::create_dir_all(real.join("far/away")).expect("folders");
    std::os::unix::fs::symlink(real.join("far/away"), real.join("link")).expect("link");
    let given = real.join("link/../warehouse");
    assert_eq!(
        absolute_path(&given).expect("absolute"),
        real.join("far/warehouse")
    );
}

#[tokio::test]
async fn deleting_what_is_not_there_is_no_error() {
    let root = tempfile::tempdir().expect("tempdir");
    let io = local_file_io();
    io.delete(location(&root.path().join("none")))
        .await
        .expect("delete");
    io.delete_prefix(location(&root.path().join("none")))
        .await
        .expect("delete");
    assert!(
        !io.exists(location(&root.path().join("none")))
            .await
            .expect("exists")
    );
}

#[test]
fn works_without_a_runtime() {
    let root = tempfile::tempdir().expect("tempdir");
    let path = location(&root.path().join("plain"));
    let output = local_file_io().new_output(path).expect("output");
    futures::executor::block_on(output.write(Bytes::from_static(b"x"))).expect("write");
    assert_eq!(names(root.path()), ["plain"]);
}
