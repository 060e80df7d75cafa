"""Writes the dashboards, in English and in French with the same queries: `python deploy/grafana/dashboards.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
LANGUAGES = ("en", "fr")
SOURCE = {"type": "prometheus", "uid": "laennec-prometheus"}
J, JM = 'job=~"$job"', 'job=~"$job", model=~"$model"'
RATE = "[$__rate_interval]"
IN_ALL_REQUESTS = f'laennec_requests_total{{{J}, route!~"/livez|/readyz|/metrics"}}{RATE}'
NOTICE = (
    "Research use only. Not a medical device.",
    "Réservé à la recherche. Ceci n’est pas un dispositif médical.",
)
Words = tuple[str, str]  # English, French


def rate(what: str, by: str) -> str:
    """PromQL: per second, added up over all that `by` does not name."""
    return f"sum by ({by}) (rate({what}))"


def quantile(q: float, metric: str, labels: str, by: str = "") -> str:
    """PromQL: a quantile of a histogram."""
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({groups}) (rate({metric}_bucket{{{labels}}}{RATE})))"


class Board:
    """Panels put side by side from left to right, 24 columns wide."""

    def __init__(self, language: int) -> None:
        self.language, self.panels = language, list[dict[str, Any]]()
        self._x = self._y = self._tall = 0

    def row(self, title: Words) -> None:
        """Begin a new row under `title`."""
        self._y, self._x, self._tall = self._y + self._tall, 0, 0
        place = {"x": 0, "y": self._y, "w": 24, "h": 1}
        self._add({"type": "row", "title": title[self.language], "collapsed": False, "panels": [], "gridPos": place})
        self._y += 1

    def panel(
        self,
        kind: str,
        title: Words,
        queries: dict[str, str],
        *,
        wide: int = 8,
        tall: int = 8,
        unit: str = "short",
        told: Words = ("", ""),
        bounds: tuple[tuple[float, str], ...] = (),
        instant: bool = False,
        **options: Any,
    ) -> None:
        """One panel; `queries` by legend. `bounds`: from which value which colour."""
        if self._x + wide > 24:
            self._x, self._y, self._tall = 0, self._y + self._tall, 0
        steps = [{"color": "green", "value": None}, *({"color": c, "value": v} for v, c in bounds)]
        custom: dict[str, Any] = {}
        if kind == "timeseries":
            custom = {"fillOpacity": 10, "showPoints": "never"}
            custom |= {"thresholdsStyle": {"mode": "dashed"}} if bounds else {}
        defaults = {"unit": unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}}
        targets = [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
            }
            for number, (legend, expr) in enumerate(queries.items())
        ]
        self._add(
            {
                "type": kind,
                "title": title[self.language],
                "description": told[self.language],
                "datasource": SOURCE,
                "gridPos": {"x": self._x, "y": self._y, "w": wide, "h": tall},
                "fieldConfig": {"defaults": defaults, "overrides": []},
                "options": options,
                "targets": targets,
            }
        )
        self._x, self._tall = self._x + wide, max(self._tall, tall)

    def text(self, words: Words, tall: int) -> None:
        """A line of text over the whole width."""
        options = {"mode": "markdown", "content": words[self.language]}
        place = {"x": 0, "y": self._y, "w": 24, "h": tall}
        self._add({"type": "text", "title": "", "gridPos": place, "options": options, "transparent": True})
        self._y += tall

    def _add(self, panel: dict[str, Any]) -> None:
        self.panels.append({"id": len(self.panels) + 1} | panel)


STAT: dict[str, Any] = {
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "colorMode": "background",
    "graphMode": "none",
}
HEAT: dict[str, Any] = {
    "calculate": False,
    "cellGap": 1,
    "color": {"mode": "scheme", "scheme": "Viridis", "steps": 64},
    "tooltip": {"mode": "single"},
}
TABLE: dict[str, Any] = {"showHeader": True, "cellHeight": "sm"}


def panels(language: int) -> list[dict[str, Any]]:
    """Every panel, in the language of that place."""
    board = Board(language)
    board.text(tuple(f"**{words}**" for words in NOTICE), 2)  # type: ignore[arg-type]
    glance(board)
    traffic(board)
    answers(board)
    process(board)
    return board.panels


def glance(board: Board) -> None:
    """What one sees first."""
    red, amber = "red", "orange"
    board.row(("At a glance", "En un coup d’œil"))
    board.panel(
        "stat", ("Instances ready", "Instances prêtes"), {"": f"sum(laennec_ready{{{J}}})"}, wide=4, tall=4, **STAT
    )
    board.panel(
        "stat",
        ("Requests a second", "Requêtes par seconde"),
        {"": f"sum(rate({IN_ALL_REQUESTS}))"},
        wide=4,
        tall=4,
        unit="reqps",
        **STAT,
    )
    board.panel(
        "stat",
        ("Errors", "Erreurs"),
        {"": f"max(job:laennec_errors:ratio_rate5m{{{J}}})"},
        wide=4,
        tall=4,
        unit="percentunit",
        bounds=((0.001, amber), (0.01, red)),
        told=("Answers 500 and 504; 503 counts as overload.", "Réponses 500 et 504 ; 503 compte comme surcharge."),
        **STAT,
    )
    board.panel(
        "stat",
        ("Turned away", "Refusées par surcharge"),
        {"": f"max(job:laennec_overloaded:ratio_rate5m{{{J}}})"},
        wide=4,
        tall=4,
        unit="percentunit",
        bounds=((0.01, amber), (0.05, red)),
        **STAT,
    )
    board.panel(
        "stat",
        ("Referred, last hour", "Renvoyées, dernière heure"),
        {"{{model}}": f"max by (model) (job_model:laennec_referrals:ratio_rate1h{{{JM}}})"},
        wide=4,
        tall=4,
        unit="percentunit",
        bounds=((0.4, amber),),
        **STAT,
    )
    board.panel(
        "stat",
        ("Drift (PSI)", "Dérive (PSI)"),
        {"{{of}}": f"max by (of) (laennec_drift_psi{{{JM}}})"},
        wide=4,
        tall=4,
        bounds=((0.1, amber), (0.2, red)),
        told=(
            "Of the last 1,000 answers against the reference: above 0.2 a shift that wants a look.",
            "Des 1 000 dernières réponses par rapport à la référence : au-delà de 0,2, un déplacement à examiner.",
        ),
        **STAT,
    )
    board.panel(
        "table",
        ("Alerts that fire", "Alertes en cours"),
        {"": f'ALERTS{{alertstate="firing", {J}}}'},
        wide=12,
        tall=6,
        instant=True,
        **TABLE,
    )
    board.panel(
        "table",
        ("Bundles served", "Modèles servis"),
        {"": f"count by (model, digest, backend, precision, laennec) (laennec_bundle_info{{{JM}}})"},
        wide=12,
        tall=6,
        instant=True,
        told=(
            "Two digests under one name: an upgrade under way.",
            "Deux empreintes sous un même nom : une mise à jour en cours.",
        ),
        **TABLE,
    )


def traffic(board: Board) -> None:
    """Requests, how long they take, what is admitted and what refused."""
    board.row(("Traffic and latency", "Trafic et latence"))
    board.panel(
        "timeseries",
        ("Requests by route", "Requêtes par route"),
        {"{{route}}": rate(f"laennec_requests_total{{{J}}}{RATE}", "route")},
        unit="reqps",
    )
    board.panel(
        "timeseries",
        ("Requests by status", "Requêtes par statut"),
        {"{{status}}": rate(IN_ALL_REQUESTS, "status")},
        unit="reqps",
    )
    board.panel(
        "timeseries",
        ("Latency of /predict", "Latence de /predict"),
        {
            f"p{int(q * 100)}": quantile(q, "laennec_request_seconds", f'{J}, route="/predict"')
            for q in (0.5, 0.95, 0.99)
        },
        unit="s",
        bounds=((1.0, "red"),),
    )
    board.panel(
        "heatmap",
        ("Latency of /predict, all requests", "Latence de /predict, toutes les requêtes"),
        {"{{le}}": f'sum by (le) (increase(laennec_request_seconds_bucket{{{J}, route="/predict"}}{RATE}))'},
        wide=12,
        yAxis={"unit": "s"},
        **HEAT,
    )
    board.panel(
        "timeseries",
        ("Median by stage", "Médiane par étape"),
        {"{{stage}}": quantile(0.5, "laennec_stage_seconds", J, "stage")},
        wide=6,
        unit="s",
    )
    board.panel(
        "timeseries",
        ("99th percentile by stage", "99e centile par étape"),
        {"{{stage}}": quantile(0.99, "laennec_stage_seconds", J, "stage")},
        wide=6,
        unit="s",
        told=(
            "wait: for the model; long with too few instances.",
            "wait : attente du modèle ; longue quand les instances manquent.",
        ),
    )
    board.row(("Admission and refusals", "Admission et refus"))
    board.panel(
        "timeseries",
        ("In flight and limit", "En cours et limite"),
        {"{{instance}}": f"laennec_in_flight{{{J}}}", "max {{instance}}": f"laennec_in_flight_limit{{{J}}}"},
    )
    board.panel(
        "timeseries",
        ("Age of the queue", "Âge de la file"),
        {"{{instance}}": f"laennec_queue_age_seconds{{{J}}}"},
        unit="s",
        bounds=((0.5, "red"),),
    )
    board.panel(
        "timeseries", ("Length of the queue", "Longueur de la file"), {"{{instance}}": f"laennec_queue_depth{{{J}}}"}
    )
    board.panel(
        "timeseries",
        ("Refusals by code", "Refus par code"),
        {"{{code}}": rate(f"laennec_refusals_total{{{J}}}{RATE}", "code")},
        wide=16,
        unit="reqps",
    )
    board.panel(
        "timeseries",
        ("Share of pictures refused", "Part des images refusées"),
        {"": f"job:laennec_images_refused:ratio_rate15m{{{J}}}"},
        unit="percentunit",
        bounds=((0.2, "red"),),
    )


def answers(board: Board) -> None:
    """What the models say, and whether what they see has changed."""
    board.row(("Answers", "Réponses"))
    board.panel(
        "timeseries",
        ("Answers by verdict", "Réponses par verdict"),
        {"{{model}} {{verdict}}": rate(f"laennec_answers_total{{{JM}}}{RATE}", "model, verdict")},
        unit="reqps",
    )
    board.panel(
        "timeseries",
        ("Share positive", "Part positive"),
        {
            "{{model}}": rate(f'laennec_answers_total{{{JM}, verdict="positive"}}[1h]', "model")
            + " / "
            + rate(f'laennec_answers_total{{{JM}, verdict=~"positive|negative"}}[1h]', "model")
        },
        unit="percentunit",
    )
    board.panel(
        "timeseries",
        ("Share referred, by reason", "Part renvoyée, par raison"),
        {
            "{{model}} {{because}}": rate(f"laennec_referrals_total{{{JM}}}[1h]", "model, because")
            + " / on (model) group_left () "
            + rate(f"laennec_answers_total{{{JM}}}[1h]", "model")
        },
        unit="percentunit",
    )
    board.panel(
        "heatmap",
        ("Scores", "Scores"),
        {"{{le}}": f"sum by (le) (increase(laennec_score_bucket{{{JM}}}{RATE}))"},
        wide=12,
        **HEAT,
    )
    board.panel(
        "timeseries",
        ("Drift", "Dérive"),
        {"{{model}} {{of}} {{instance}}": f"laennec_drift_psi{{{JM}}}"},
        wide=12,
        bounds=((0.2, "red"),),
        told=(
            "Population stability index. brightness: another device or export. score alone: other patients.",
            "Indice de stabilité de population. brightness : autre appareil ou export. score seul : autres patients.",
        ),
    )
    board.row(("Energy and batches", "Énergie et lots"))
    board.panel(
        "timeseries",
        ("Energy of an answer", "Énergie d’une réponse"),
        {"{{kind}}": f"max by (kind) (job:laennec_energy_joules:ratio_rate1h{{{J}}})"},
        unit="joule",
        told=(
            "measured: counters of the hardware, idle draw included. modelled: worked out from processor time and "
            "memory. docs/energy.md has the errors of both.",
            "measured : compteurs du matériel, consommation au repos comprise. modelled : calculée d’après le temps "
            "processeur et la mémoire. docs/energy.md donne l’erreur des deux.",
        ),
    )
    board.panel(
        "timeseries",
        ("Power", "Puissance"),
        {"{{kind}}": rate(f"laennec_energy_joules_total{{{J}}}{RATE}", "kind")},
        unit="watt",
    )
    board.panel(
        "timeseries",
        ("Images a batch", "Images par lot"),
        {
            "{{model}}": rate(f"laennec_batch_images_sum{{{JM}}}{RATE}", "model")
            + " / "
            + rate(f"laennec_batch_images_count{{{JM}}}{RATE}", "model")
        },
    )


def process(board: Board) -> None:
    """Jobs, decoders, and the process itself."""
    board.row(("Jobs and process", "Travaux et processus"))
    board.panel("timeseries", ("Jobs", "Travaux"), {"{{state}}": f"sum by (state) (laennec_jobs{{{J}}})"}, wide=6)
    board.panel(
        "timeseries",
        ("Decoders replaced, faults of the model", "Décodeurs remplacés, fautes du modèle"),
        {
            "{{instance}}": f"increase(laennec_decoder_restarts_total{{{J}}}{RATE})",
            "{{model}} NaN": f"sum by (model) (laennec_model_faults_total{{{J}}})",
        },
        wide=6,
    )
    board.panel(
        "timeseries",
        ("Resident memory", "Mémoire résidente"),
        {"{{instance}}": f"process_resident_memory_bytes{{{J}}}"},
        wide=6,
        unit="bytes",
        told=(
            "Of the service itself; its decoding processes come on top.",
            "Du service lui-même ; ses processus de décodage s’y ajoutent.",
        ),
    )
    board.panel(
        "timeseries",
        ("Processors busy", "Processeurs occupés"),
        {"{{instance}}": f"rate(process_cpu_seconds_total{{{J}}}{RATE})"},
        wide=6,
    )
    board.panel("timeseries", ("Open files", "Fichiers ouverts"), {"{{instance}}": f"process_open_fds{{{J}}}"}, wide=6)
    board.panel(
        "timeseries",
        ("Ready and stopping", "Prêt et en arrêt"),
        {"ready {{instance}}": f"laennec_ready{{{J}}}", "stopping {{instance}}": f"laennec_stopping{{{J}}}"},
        wide=6,
    )
    board.panel(
        "timeseries",
        ("Running for", "En marche depuis"),
        {"{{instance}}": f"time() - process_start_time_seconds{{{J}}}"},
        wide=6,
        unit="s",
    )


def variable(name: str, label: Words, query: str, language: int) -> dict[str, Any]:
    """A choice at the top of the page."""
    every = {"text": ["All"], "value": ["$__all"], "selected": True}
    asked = {"query": query, "refId": name}
    common = {"type": "query", "datasource": SOURCE, "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*"}
    return common | {
        "name": name,
        "label": label[language],
        "query": asked,
        "definition": query,
        "current": every,
        "sort": 1,
    }


def dashboard(language: int) -> dict[str, Any]:
    """The whole dashboard as Grafana reads it."""
    choices = [
        variable("job", ("Service", "Service"), "label_values(laennec_ready, job)", language),
        variable("model", ("Model", "Modèle"), 'label_values(laennec_bundle_info{job=~"$job"}, model)', language),
    ]
    return {
        "uid": f"laennec-{LANGUAGES[language]}",
        "title": ("laennec", "laennec (français)")[language],
        "description": NOTICE[language],
        "tags": ["laennec"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": choices},
        "annotations": {"list": []},
        "links": [],
        "panels": panels(language),
    }


def written(language: int) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(language), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for place, name in enumerate(LANGUAGES):
        (FOLDER / f"laennec-{name}.json").write_text(written(place), encoding="utf-8")
