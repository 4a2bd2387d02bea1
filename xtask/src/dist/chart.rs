//! Renders the Helm chart with Helm's own SDK, and validates it and the manifests against the schemas of Kubernetes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::packaging;
use crate::{shell, vm};

const SCRIPT: &str = include_str!("../../dist/chart.py");

/// Version of the package `helm-python-sdk`, which has Helm's SDK as a library.
const HELM: &str = "0.2.2";

/// Version of the package `kubernetes-validate`.
const VALIDATE: &str = "1.37.0";

/// The oldest and the newest version of Kubernetes whose schemas are used.
const VERSIONS: [&str; 2] = ["1.28", "1.37"];

/// The objects of Kubernetes itself. The others are a patch, a `Kustomization` and a `PodMonitor`.
const MANIFESTS: [&str; 3] =
    ["kubernetes/daemonset.yaml", "kubernetes-fleet/configmap.yaml", "kubernetes-fleet/service.yaml"];

/// Checks the chart and the manifests.
pub(super) fn main() -> Result<()> {
    let helm = vm::python_environment("helm-python-sdk", HELM)?;
    let directory = shell::target_dir().join("packages/chart");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let chart = packaging("helm/taskscope");
    shell::run(Command::new(helm).args(["-c", SCRIPT]).arg(chart).arg(&directory))?;
    let mut files: Vec<PathBuf> = ["default.yaml", "all.yaml"].map(|name| directory.join(name)).to_vec();
    files.extend(MANIFESTS.map(packaging));
    let validate = vm::python_environment("kubernetes-validate", VALIDATE)?;
    for version in VERSIONS {
        for file in &files {
            let mut command = Command::new(&validate);
            command.args(["-m", "kubernetes_validate", "--strict", "--kubernetes-version", version]);
            shell::run(command.arg(file))?;
        }
    }
    Ok(())
}
