"""Writes the rules of deploy/prometheus/alerts.yml as the operator wants them.

python deploy/kubernetes/monitoring/prometheusrule.py
"""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_suffix(".yaml")
RULES = Path(__file__).parents[2] / "prometheus" / "alerts.yml"
HEAD = """\
# Made from deploy/prometheus/alerts.yml by prometheusrule.py; edit that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: laennec
  labels: {app.kubernetes.io/name: laennec}
spec:
"""


def written() -> str:
    """The manifest."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    start = lines.index("groups:")
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines[start:])


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
