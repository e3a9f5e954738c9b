"""Alertmanager's files, made from [observe.receivers.*] and the message templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from portside.alerting.routes import NOBODY, inhibitions, route
from portside.config import FILE, Config, Receiver
from portside.errors import ConfigError
from portside.secrets import fetch, refusal
from portside.secrets.base import SecretError

TEMPLATES = Path("observability/alertmanager/templates")
# Where the stack's Compose file mounts the receivers' secrets.
SECRETS = "/run/portside"

Json = dict[str, Any]


def alertmanager_files(config: Config, secrets: str = SECRETS) -> dict[str, str]:
    """Path below Alertmanager's folder to content. `secrets` is the folder that holds a file for each receiver."""
    observe = config.observe
    data = {
        "templates": ["templates/*.tmpl"],
        "route": route(observe.receivers, _neighbours(config)),
        "inhibit_rules": inhibitions(),
        "receivers": [
            {"name": NOBODY},
            *(_receiver(name, receiver, f"{secrets}/{name}") for name, receiver in observe.receivers.items()),
        ],
    }
    text = yaml.safe_dump(data, sort_keys=False, width=110)
    templates = sorted((config.root / TEMPLATES).glob("*.tmpl"))
    if not templates:
        raise ConfigError("there are no message templates", where=str(TEMPLATES), remedy="Restore them from git.")
    return {
        "alertmanager.yml": f"# Made from [observe.receivers.*] of {FILE} by `invoke observe`.\n{text}",
        **{f"templates/{path.name}": path.read_text() for path in templates},
        "templates/runbooks.tmpl": _runbooks(observe.runbooks),
    }


def _neighbours(config: Config) -> dict[str, dict[str, set[str]]]:
    """For each environment: the others on its hosts, and which hosts those are. This machine has no name of its own."""
    hosts = {name: set(map(each.label, each.hosts)) for name, each in config.env.items()}
    return {
        name: {other: shared for other, theirs in hosts.items() if other != name and (shared := theirs & mine)}
        for name, mine in hosts.items()
    }


def _runbooks(base: str) -> str:
    if "{{" in base:
        raise ConfigError("{{ has a meaning in templates", where=f"{FILE}: observe.runbooks")
    return f'{{{{ define "portside.runbooks" }}}}{base.rstrip("/")}{{{{ end }}}}\n'


async def receiver_secrets(config: Config) -> Mapping[str, str]:
    """File name to value, one for each receiver that has a secret. ConfigError names all that are missing, at once."""
    references = {name: each.secret for name, each in config.observe.receivers.items() if each.secret}
    answers = await fetch(references.values(), config.root, "observability")
    problems = {
        f"observe.receivers.{name}.secret": answer
        for name, reference in references.items()
        if isinstance(answer := answers[reference], SecretError)
    }
    if problems:
        raise refusal(problems, FILE)
    return {name: str(answers[reference]) for name, reference in references.items()}


def _receiver(name: str, receiver: Receiver, secret: str) -> Json:
    kinds = {"slack": _slack, "pagerduty": _pagerduty, "email": _email, "webhook": _webhook}
    return {"name": name, f"{receiver.kind}_configs": [kinds[receiver.kind](receiver, secret)]}


def _slack(receiver: Receiver, secret: str) -> Json:
    return {
        "api_url_file": secret,
        **({"channel": receiver.channel} if receiver.channel else {}),
        "send_resolved": True,
        "color": '{{ template "portside.color" . }}',
        "title": '{{ template "portside.title" . }}',
        "title_link": "{{ .ExternalURL }}",
        "fallback": '{{ template "portside.title" . }}',
        "text": '{{ template "portside.slack" . }}',
    }


def _pagerduty(receiver: Receiver, secret: str) -> Json:
    return {
        "routing_key_file": secret,
        **({"url": receiver.url} if receiver.url else {}),
        "send_resolved": True,
        "client": "Portside",
        "client_url": "{{ .ExternalURL }}",
        "severity": '{{ template "portside.severity" . }}',
        "description": '{{ template "portside.title" . }}',
        "component": "{{ .CommonLabels.service }}",
        "group": "{{ .CommonLabels.env }}",
        "class": "{{ .CommonLabels.alertname }}",
        "details": {
            **{label: f"{{{{ .CommonLabels.{label} }}}}" for label in ("service", "env", "host", "release")},
            "firing": '{{ template "portside.text" . }}',
        },
    }


def _email(receiver: Receiver, secret: str) -> Json:
    signed_in = {"auth_username": receiver.username, "auth_password_file": secret} if receiver.secret else {}
    return {
        "to": receiver.to,
        "from": receiver.from_,
        "smarthost": receiver.smarthost,
        **signed_in,
        "require_tls": True,
        "send_resolved": True,
        "headers": {"Subject": '{{ template "portside.title" . }}'},
        "text": '{{ template "portside.text" . }}',
        "html": '{{ template "portside.html" . }}',
    }


def _webhook(receiver: Receiver, secret: str) -> Json:
    return {"url_file": secret, "send_resolved": "none" not in receiver.severities}
