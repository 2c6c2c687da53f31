//! What brings Jaeger, Prometheus, Grafana and a collector up: files that fit together, all on loopback, and recipes that say what
//! is missing. That the programs themselves take the files can only be seen where they are (`just observability`).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use saphyr::YamlOwned;

use super::{here, read, texts, yaml};

fn entries(mapping: &YamlOwned) -> Vec<(&str, &YamlOwned)> {
    let entries = mapping.as_mapping().expect("a mapping").iter();
    entries
        .map(|(key, value)| (key.as_str().expect("a name"), value))
        .collect()
}

/// Each service is of the host's network, of one version, and mounts what is there.
#[test]
fn the_compose_file_pins_versions_and_mounts_what_there_is() {
    let file = yaml("compose.yml");
    let services = entries(&file["services"]);
    let names: Vec<&str> = services.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["jaeger", "collector", "prometheus", "grafana"]);
    for (name, service) in services {
        let (_, version) = service["image"]
            .as_str()
            .expect("an image")
            .rsplit_once(':')
            .expect("a version");
        assert!(
            version.contains('.') && version.contains(|c: char| c.is_ascii_digit()),
            "{name}: {version}"
        );
        assert_eq!(service["network_mode"].as_str(), Some("host"), "{name}");
        assert!(
            service.as_mapping_get("ports").is_none(),
            "{name} publishes ports"
        );
        let mut inside = String::new();
        for volume in texts(&service["volumes"]) {
            let (from, to) = volume.split_once(':').expect("from and to");
            let (to, how) = to.split_once(':').expect("how");
            assert!(how.starts_with("ro"), "{volume}");
            assert!(here().join(from).is_dir(), "{volume}");
            inside = to.to_owned();
            let given = service.as_mapping_get("command").map(texts).unwrap_or_default();
            for argument in given {
                if let Some((_, path)) = argument.split_once(to) {
                    let path = here().join(from).join(path.trim_start_matches('/'));
                    assert!(path.exists(), "{name}: {argument}");
                }
            }
        }
        if let Some(environment) = service.as_mapping_get("environment") {
            for (variable, path) in entries(environment) {
                let path = path.as_str().expect("a path").strip_prefix(&inside);
                let path = here()
                    .join(name)
                    .join(path.expect("within the mount").trim_start_matches('/'));
                assert!(path.exists(), "{variable}: {}", path.display());
            }
        }
    }
}

/// Whatever is called an endpoint, an address or a URL, anywhere.
#[test]
fn everything_listens_on_and_asks_loopback_alone() {
    let mut found = 0;
    for path in [
        "compose.yml",
        "collector/otel-collector.yml",
        "jaeger/jaeger.yml",
        "grafana/grafana.env",
        "grafana/provisioning/datasources/squall.yml",
        "prometheus/prometheus.yml",
    ] {
        for line in read(path)
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
        {
            let says = [
                "endpoint:",
                "url:",
                "--web.listen-address",
                "HTTP_ADDR",
                "targets:",
            ];
            if says.iter().any(|word| line.contains(word)) {
                assert!(line.contains("127.0.0.1"), "{path}: {line}");
                found += 1;
            }
            assert!(
                !line.contains("0.0.0.0") && !line.contains("localhost"),
                "{path}: {line}"
            );
        }
    }
    assert!(found >= 12, "{found}");
}

/// What a pipeline names is defined, and what is defined is used.
#[test]
fn pipelines_are_made_of_what_is_defined() {
    for path in ["collector/otel-collector.yml", "jaeger/jaeger.yml"] {
        let file = yaml(path);
        let mut used = Vec::new();
        for (_, pipeline) in entries(&file["service"]["pipelines"]) {
            for kind in ["receivers", "processors", "exporters"] {
                used.extend(texts(&pipeline[kind]).into_iter().map(|name| (kind, name)));
            }
        }
        if let Some(extensions) = file["service"].as_mapping_get("extensions") {
            used.extend(texts(extensions).into_iter().map(|name| ("extensions", name)));
        }
        let mut defined = Vec::new();
        for kind in ["receivers", "processors", "exporters", "extensions"] {
            let of_kind = file.as_mapping_get(kind).map(entries).unwrap_or_default();
            defined.extend(of_kind.into_iter().map(|(name, _)| (kind, name)));
        }
        for list in [&mut used, &mut defined] {
            list.sort_unstable();
            list.dedup();
        }
        assert_eq!(used, defined, "{path}");
    }
}

#[test]
fn the_parts_find_each_other() {
    let (collector, jaeger) = (yaml("collector/otel-collector.yml"), yaml("jaeger/jaeger.yml"));
    assert_eq!(
        collector["exporters"]["otlp/jaeger"]["endpoint"],
        jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    );
    let sources = yaml("grafana/provisioning/datasources/squall.yml");
    let pages = jaeger["extensions"]["jaeger_query"]["http"]["endpoint"]
        .as_str()
        .expect("an address");
    let urls: Vec<&str> = sources["datasources"]
        .as_vec()
        .expect("sources")
        .iter()
        .filter_map(|it| it["url"].as_str())
        .collect();
    assert_eq!(urls, ["http://127.0.0.1:9090", &format!("http://{pages}")]);
    let scrapes = yaml("prometheus/prometheus.yml");
    assert_eq!(
        sources["datasources"][0]["jsonData"]["timeInterval"],
        scrapes["global"]["scrape_interval"]
    );
    let provider = &yaml("grafana/provisioning/dashboards/squall.yml")["providers"][0];
    assert_eq!(provider["options"]["path"].as_str(), Some("${SQUALL_DASHBOARDS}"));
    // The recipes for one of them use the same versions.
    for (script, name) in [
        ("jaeger.sh", "jaeger"),
        ("prometheus.sh", "prometheus"),
        ("grafana.sh", "grafana"),
    ] {
        let image = yaml("compose.yml")["services"][name]["image"]
            .as_str()
            .expect("an image")
            .to_owned();
        assert!(
            read(script).contains(&format!("image=\"{image}\"\n")),
            "{script}: {image}"
        );
    }
}

/// Scraped and sent they would be there under two jobs, and whatever goes by job would fire twice.
#[test]
fn metrics_come_to_prometheus_one_way() {
    let scrapes = yaml("prometheus/prometheus.yml");
    let scrapes = scrapes["scrape_configs"].as_vec().expect("scrapes");
    assert_eq!(scrapes.len(), 1);
    let collector = yaml("collector/otel-collector.yml");
    let pipelines = entries(&collector["service"]["pipelines"]);
    let names: Vec<&str> = pipelines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["traces"]);
    assert!(!read("compose.yml").contains("otlp-receiver"));
}

/// The first program of that name on PATH.
fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let mut all = std::env::split_paths(&path).map(|directory| directory.join(name));
    all.find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not on PATH"))
}

/// Runs a recipe where nothing but these programs is on PATH.
fn recipe(script: &str, path: &Path) -> Output {
    for tool in ["dirname", "mktemp", "rm"] {
        symlink(found(tool), path.join(tool)).expect("a link");
    }
    let mut command = Command::new(found("bash"));
    command.arg(here().join(script)).env("PATH", path);
    command.output().expect("the recipe runs")
}

#[test]
fn a_recipe_without_its_program_ends_with_2_and_says_what_is_missing() {
    for (script, words) in [
        (
            "jaeger.sh",
            "jaeger: neither a 'jaeger' binary nor docker or podman is on PATH",
        ),
        (
            "prometheus.sh",
            "prometheus: neither a 'prometheus' binary nor docker or podman is on PATH",
        ),
        (
            "grafana.sh",
            "grafana: neither a 'grafana' binary nor docker or podman is on PATH",
        ),
        (
            "observability.sh",
            "observability: neither 'docker compose' nor 'podman compose' works here",
        ),
    ] {
        let path = tempfile::tempdir().expect("a directory");
        let output = recipe(script, path.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{script}: {told}");
        assert!(told.contains(words), "{script}: {told}");
    }
}

#[test]
fn observability_goes_up_and_down_with_whichever_engine_can() {
    let path = tempfile::tempdir().expect("a directory");
    let said = path.path().join("said");
    // A docker without compose, and a podman with it.
    let engines = [
        ("docker", "exit 1".to_owned()),
        ("podman", format!("echo \"$*\" >>'{}'", said.display())),
    ];
    for (name, does) in engines {
        let engine = path.path().join(name);
        fs::write(&engine, format!("#!/bin/sh\n{does}\n")).expect("a program");
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).expect("it may run");
    }
    let output = recipe("observability.sh", path.path());
    assert!(output.status.success(), "{output:?}");
    let file = here().join("compose.yml");
    let file = file.display();
    let expected = format!("compose version\ncompose -f {file} up\ncompose -f {file} down --volumes\n");
    assert_eq!(fs::read_to_string(said).expect("it was asked"), expected);
}
