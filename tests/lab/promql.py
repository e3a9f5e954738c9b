"""What a PromQL expression names, by Prometheus' own parser (its API /api/v1/parse_query)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
# Whether a metric has a label, and which labels it has: from scrapes, rules, or a list.
Known = Callable[[str], frozenset[str] | None]


def metrics(node: Any) -> Iterator[str]:
    """The metrics that an expression asks for."""
    if isinstance(node, Mapping):
        if node.get("type") in ("vectorSelector", "matrixSelector"):
            yield metric_of(node)
            return
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from metrics(inner)


def metric_of(selector: Node) -> str:
    named = [matcher["value"] for matcher in selector["matchers"] if matcher["name"] == "__name__"]
    return str(selector.get("name") or (named[0] if named else ""))


class WrongError(Exception):
    """An expression names something that isn't there."""


def labels(node: Node, known: Known) -> frozenset[str]:
    """The labels that an expression's answer can have. Raises WrongError for a metric or a label that isn't there."""
    kind = node["type"]
    if kind in ("vectorSelector", "matrixSelector"):
        return _selected(node, known)
    if kind in ("parenExpr", "unaryExpr", "subquery", "stepInvariantExpr"):
        return labels(node["expr"], known)
    if kind == "aggregation":
        return _aggregated(node, known)
    if kind == "binaryExpr":
        return _joined(node, known)
    if kind == "call":
        return _called(node, known)
    return frozenset()


def _selected(node: Node, known: Known) -> frozenset[str]:
    metric = metric_of(node)
    there = known(metric)
    if there is None:
        raise WrongError(f"no scrape and no rule has the metric {metric}")
    for matcher in node["matchers"]:
        # {x=""} asks for series without x.
        if matcher["name"] != "__name__" and matcher["value"]:
            _insist([matcher["name"]], there, f"{metric}{{…}}")
    return there


def _aggregated(node: Node, known: Known) -> frozenset[str]:
    inner = labels(node["expr"], known)
    grouping = node.get("grouping") or []
    _insist(grouping, inner, f"{node['op']} {'without' if node.get('without') else 'by'}")
    if node["op"] in ("topk", "bottomk", "limitk", "limit_ratio"):
        return inner
    kept = inner - set(grouping) if node.get("without") else frozenset(grouping)
    return kept | {node["param"]["val"]} if node["op"] == "count_values" else kept


def _joined(node: Node, known: Known) -> frozenset[str]:
    left, right = labels(node["lhs"], known), labels(node["rhs"], known)
    matching = node.get("matching") or {}
    named, included = matching.get("labels") or [], matching.get("include") or []
    if matching.get("on"):
        _insist(named, left, f"left of {node['op']} on")
        _insist(named, right, f"right of {node['op']} on")
    else:
        _insist(named, left | right, f"{node['op']} ignoring")
    card = matching.get("card", "one-to-one")
    if node["op"] == "or":
        return left | right
    if node["op"] in ("and", "unless"):
        return left
    many, one = (right, left) if card == "one-to-many" else (left, right)
    _insist(included, one, "group_left or group_right")
    if not _is_vector(node["lhs"]):
        return right
    if card == "one-to-one" and matching.get("on"):
        return frozenset(named)
    return many | set(included)


def _called(node: Node, known: Known) -> frozenset[str]:
    name, arguments = node["func"]["name"], node["args"]
    if name in ("absent", "absent_over_time"):
        labels(arguments[0], known)
        selector = arguments[0]
        return frozenset(
            m["name"] for m in selector.get("matchers", []) if m["type"] == "=" and m["name"] != "__name__"
        )
    there = frozenset[str]().union(*(labels(argument, known) for argument in arguments))
    if name in ("scalar", "time"):
        return frozenset()
    if name in ("label_replace", "label_join"):
        sources = [a["val"] for a in arguments[3:] if a["type"] == "stringLiteral"]
        _insist(sources[:1] if name == "label_replace" else sources, there, name)
        return there | {arguments[1]["val"]}
    return there - {"le"} if name == "histogram_quantile" else there


def _is_vector(node: Node) -> bool:
    if node["type"] in ("parenExpr", "unaryExpr"):
        return _is_vector(node["expr"])
    if node["type"] == "binaryExpr":
        return _is_vector(node["lhs"]) or _is_vector(node["rhs"])
    if node["type"] == "call":
        return node["func"]["name"] not in ("scalar", "time", "pi")
    return node["type"] != "numberLiteral"


def _insist(wanted: list[str], there: frozenset[str], where: str) -> None:
    missing = sorted(set(wanted) - there)
    if missing:
        raise WrongError(f"{where}: no label {', '.join(missing)}; there are {', '.join(sorted(there)) or 'none'}")
