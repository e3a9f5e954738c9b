"""The dashboards' JSON is what their code says, and is such that Grafana shows all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.dashboards import thresholds
from observability.dashboards.__main__ import FOLDER, text, write
from observability.dashboards.pages import PAGES
from observability.dashboards.panels import Threshold

GRAFANA = FOLDER.parent
PROVISIONING = GRAFANA / "provisioning"
# Of Grafana's packages/grafana-data/src/valueFormats/categories.ts: an unknown unit is shown as a suffix.
UNITS = {
    *("none", "short", "percentunit", "percent", "s", "ns", "reqps", "cps", "ops", "bytes", "Bps"),
    *("dateTimeAsLocal", "dateTimeFromNow"),
}
KINDS = {"timeseries", "stat", "bargauge", "table", "logs"}
# What Grafana puts in by itself.
BUILT_IN = {"__all", "__rate_interval", "__range", "__auto", "__url_time_range", "__field", "__value"}
VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))")

# Four windows, as the objectives' alerts have.
BURNING = (("Fast", 14.4), ("Fast", 6), ("Slowly", 3), ("Slowly", 1))

Json = dict[str, Any]


def pages() -> list[Json]:
    return [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]


def panels() -> Iterator[tuple[Json, Json]]:
    for page in pages():
        for panel in page["panels"]:
            if panel["type"] != "row":
                yield page, panel


def named(value: Any) -> str:
    return str(value.get("title", value)) if isinstance(value, dict) else str(value)


every_page = pytest.mark.parametrize("page", pages(), ids=named)
every_panel = pytest.mark.parametrize(("page", "panel"), list(panels()), ids=named)


def sources() -> dict[str, str]:
    """uid to plugin of the data sources that are provisioned."""
    files = [yaml.safe_load(file.read_text()) for file in (PROVISIONING / "datasources").glob("*.yaml")]
    return {source["uid"]: source["type"] for file in files for source in file["datasources"]}


def used_sources(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "datasource":
                yield inner
            yield from used_sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from used_sources(inner)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_the_files_are_what_the_code_says() -> None:
    committed = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert committed == {f"{page.name}.json": text(page) for page in PAGES}, "type: python -m observability.dashboards"


def test_writing_removes_pages_that_are_no_more(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    write(tmp_path)
    assert sorted(file.stem for file in tmp_path.iterdir()) == sorted(page.name for page in PAGES)


def test_pages_have_uids_that_stay_and_no_ids() -> None:
    assert {page["uid"] for page in pages()} == {
        *("portside-service", "portside-hosts", "portside-logs", "portside-slo", "portside-deploys")
    }
    assert not [page["title"] for page in pages() if "id" in page or "version" in page]


@every_page
def test_no_panel_lies_over_another_or_off_the_page(page: Json) -> None:
    taken = [(panel["title"], panel["gridPos"]) for panel in page["panels"]]
    for title, place in taken:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0, title
    for (one, a), (other, b) in combinations(taken, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} and {other}"


@every_page
def test_panels_of_a_page_can_be_told_apart(page: Json) -> None:
    for key in ("id", "title"):
        seen = [panel[key] for panel in page["panels"] if panel["type"] != "row" or key == "id"]
        assert len(seen) == len(set(seen)), key


@every_panel
def test_a_panel_says_what_it_shows_in_a_unit_that_grafana_knows(page: Json, panel: Json) -> None:
    assert panel["type"] in KINDS
    assert panel["description"].endswith("."), "a description is a sentence"
    units = [panel["fieldConfig"]["defaults"]["unit"]] + [
        change["value"]
        for override in panel["fieldConfig"]["overrides"]
        for change in override["properties"]
        if change["id"] == "unit"
    ]
    assert set(units) <= UNITS
    steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert steps[0] is None and steps[1:] == sorted(steps[1:])


@every_panel
def test_every_target_asks_something_with_a_letter_of_its_own(page: Json, panel: Json) -> None:
    assert panel["targets"]
    assert all(target["expr"].strip() for target in panel["targets"])
    letters = [target["refId"] for target in panel["targets"]]
    assert len(letters) == len(set(letters))
    # A graph of the newest value alone is a dot.
    if panel["type"] == "timeseries":
        assert not [target for target in panel["targets"] if target.get("instant")]


@every_panel
def test_overrides_and_transformations_are_about_fields_that_the_panel_has(page: Json, panel: Json) -> None:
    shown: set[str] = {target["legendFormat"] for target in panel["targets"]} - {"", "{{level}}"}
    for transformation in panel["transformations"]:
        renamed = transformation["options"].get("renameByName", {})
        fields = {"Value"} if len(panel["targets"]) == 1 else {f"Value #{t['refId']}" for t in panel["targets"]}
        assert set(renamed) <= fields
        shown |= set(renamed.values())
    if any("level" in target["legendFormat"] for target in panel["targets"]):
        shown |= {"debug", "info", "warning", "error", "critical"}
    assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= shown


@every_page
def test_every_data_source_is_provisioned(page: Json) -> None:
    used = list(used_sources(page))
    assert used
    assert [source for source in used if sources().get(source["uid"]) != source["type"]] == []


@every_page
def test_every_variable_that_is_used_is_there_and_every_one_there_is_used(page: Json) -> None:
    offered = {variable["name"]: variable for variable in page["templating"]["list"]}
    used = {name for string in strings(page) for pair in VARIABLE.findall(string) for name in pair if name}
    assert used - BUILT_IN <= set(offered)
    assert set(offered) <= used


@every_page
def test_a_choice_of_several_is_matched_as_a_regular_expression(page: Json) -> None:
    several = {variable["name"]: variable.get("multi", False) for variable in page["templating"]["list"]}
    for string in strings(page):
        for sign, name in re.findall(r'(=~|!~|!=|=)"\$(\w+)', string):
            if several[name]:
                assert sign == "=~", f"{name} in {string}"
        for name in re.findall(r'="\$(\w+)"', string):
            assert not several[name]


@every_page
def test_what_somebody_types_may_have_quotes_in_it(page: Json) -> None:
    """A line to look for is often JSON: between backticks it is taken as it is."""
    typed = {v["name"] for v in page["templating"]["list"] if v["type"] == "textbox"}
    filters = [found for string in strings(page) for found in re.findall(r"(?:\|=|!=) ?(.)\$(\w+)", string)]
    assert {quote for quote, name in filters if name in typed} <= {"`"}


@every_page
def test_links_lead_to_pages_that_exist_and_choose_what_can_be_chosen_there(page: Json) -> None:
    offered = {other["uid"]: {v["name"] for v in other["templating"]["list"]} for other in pages()}
    here = {variable["name"] for variable in page["templating"]["list"]}
    for url in (string for string in strings(page) if string.startswith("/d/")):
        target, _, chosen = url.removeprefix("/d/").partition("?")
        assert target in offered, url
        passed = set(re.findall(r"var-(\w+)=", chosen)) | set(re.findall(r"\$\{(\w+):queryparam\}", chosen))
        assert passed <= offered[target], url
        assert set(re.findall(r"\$\{(\w+):queryparam\}", chosen)) <= here, url
    menu = [link["tags"] for link in page["links"] if link["type"] == "dashboards"]
    assert menu == [["portside"]] and "portside" in page["tags"]


@every_panel
def test_a_link_names_labels_that_the_lines_have(page: Json, panel: Json) -> None:
    for link in panel["fieldConfig"]["defaults"]["links"]:
        for label in re.findall(r"__field\.labels\.(\w+)", link["url"]):
            for target in panel["targets"]:
                assert f"{{{{{label}}}}}" in target["legendFormat"], link["url"]


def test_slow_requests_lead_to_their_logs() -> None:
    links = [
        link["url"]
        for _, panel in panels()
        if panel["title"] == "Latency by route and release"
        for link in panel["fieldConfig"]["defaults"]["links"]
    ]
    assert [link for link in links if "var-route=" in link and "var-release=" in link and "portside-logs" in link]


@every_page
def test_every_page_marks_releases_rollbacks_and_undos(page: Json) -> None:
    marks = page["annotations"]["list"]
    asked = " ".join(mark["target"]["expr"] for mark in marks)
    assert "portside_release_timestamp_seconds" in asked and "portside_undo_timestamp_seconds" in asked
    for mark in marks:
        assert mark["enable"] and mark["useValueForTime"]
        for label in ("release", "service", "env"):
            assert f"{{{{{label}}}}}" in mark["titleFormat"]
        for label in re.findall(r"\{\{(\w+)\}\}", mark["titleFormat"]):
            assert re.search(rf"by \([^)]*\b{label}\b", mark["target"]["expr"]), f"{label} in {mark['name']}"


def test_the_folder_of_dashboards_is_provisioned_and_nothing_in_it_is_edited_by_hand() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "portside.yaml").read_text())["providers"]
    assert provider["folder"] == "Portside"
    assert provider["allowUiUpdates"] is False
    assert all(page["editable"] is False for page in pages())


def test_thresholds_are_the_alerts_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [
        {"alert": "TooMany", "expr": "a:b / b > 0.25 unless on (x) c > 3"},
        {"alert": "TooFew", "expr": "sum(rate(a[5m])) < 3"},
        {"alert": "Gone", "expr": "absent(a)"},
        {"alert": "Torn", "expr": "a > 1"},
        {"alert": "Torn", "expr": "a > 2"},
        *({"alert": f"SpeedBudgetBurns{how}", "expr": f"a > {n} and b > {n}"} for how, n in BURNING),
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    monkeypatch.setattr(thresholds, "RULES", tmp_path)
    assert thresholds.of_alert("TooMany") == Threshold(0.25)
    assert thresholds.of_alert("TooFew") == Threshold(3, below=True)
    assert thresholds.of_burning("speed") == Threshold(6, doubtful=1)
    for name in ("Gone", "Torn"):
        with pytest.raises(ValueError, match=name):
            thresholds.of_alert(name)
    with pytest.raises(KeyError):
        thresholds.of_alert("Forgotten")


def test_grafana_knows_how_often_agents_scrape() -> None:
    agent = yaml.safe_load((GRAFANA.parent / "agent" / "prometheus-agent.yml").read_text())
    source = yaml.safe_load((PROVISIONING / "datasources" / "portside.yaml").read_text())["datasources"][0]
    assert source["jsonData"]["timeInterval"] == agent["global"]["scrape_interval"]
