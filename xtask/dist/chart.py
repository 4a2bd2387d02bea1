"""Lints and renders the chart in CHART with Helm's own SDK, and writes the objects of each set of values to OUT.

usage: chart.py CHART OUT
"""

import pathlib
import sys

import helm_python
from helm_python import chart

VALUES = {
    "default": {},
    "all": {
        "webSecret": "taskscope-web",
        "podNames": False,
        "probes": {"enabled": False, "scheme": "HTTPS"},
        "podMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "endpoint": {"scheme": "https", "tlsConfig": {"insecureSkipVerify": True}},
        },
        "image": {"repository": "registry.example.org/taskscope", "tag": "1"},
        "imagePullSecrets": [{"name": "registry"}],
        "capabilities": ["BPF", "PERFMON", "SYS_RESOURCE"],
        "seccompProfile": {"type": "Localhost", "localhostProfile": "taskscope.json"},
        "podAnnotations": {"example.org/a": "b"},
        "podLabels": {"example.org/c": "d"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
        "priorityClassName": "",
    },
}

path, out = sys.argv[1], pathlib.Path(sys.argv[2])
for name, values in VALUES.items():
    report = chart.lint(path, values, strict=True)
    # An icon is recommended (severity 1); warnings are 2 and errors 3.
    bad = [message for message in report["messages"] if message["severity"] >= 2] + report["errors"]
    if bad:
        sys.exit(f"helm lint, values `{name}`: {bad}")
    rendered = chart.Chart.load(path).render(values, name="taskscope", namespace="monitoring")
    objects = [text for file, text in sorted(rendered.items()) if file.endswith(".yaml") and text.strip()]
    kinds = [line.split()[1] for text in objects for line in text.splitlines() if line.startswith("kind: ")]
    wanted = ["ConfigMap", "DaemonSet"] + (["PodMonitor"] if name == "all" else [])
    if kinds != wanted:
        sys.exit(f"values `{name}`: the chart has {kinds}, not {wanted}")
    # Kubernetes has no schema for the operator's PodMonitor.
    known = [text for text in objects if "kind: PodMonitor" not in text]
    (out / f"{name}.yaml").write_text("\n---\n".join(known) + "\n")
    notes = next(text for file, text in rendered.items() if file.endswith("NOTES.txt"))
    if not notes.strip():
        sys.exit(f"values `{name}`: NOTES.txt is empty")
print(f"Helm {helm_python.helm_sdk_version()} renders the chart with {len(VALUES)} sets of values")
