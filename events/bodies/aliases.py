"""Aliases: other names and forms of settings, as other versions of the API have them."""

from __future__ import annotations

from events.pointers import Tree


def resolve_aliases(body: Tree) -> Tree:
    """The body with today's names and forms. Where it holds both names, today's counts."""
    body = dict(body)
    _resolve(body, "backchannel_generation_settings", "backchannel_settings")
    if isinstance(llm := body.get("llm_settings"), dict) and "model" in llm:
        body["llm_settings"] = {name: value for name, value in llm.items() if name != "model"}
        config = body.get("llm_provider_config", {})
        if isinstance(config, dict):
            body["llm_provider_config"] = {"model": llm["model"]} | config
    if isinstance(tts := body.get("tts_settings"), dict):
        body["tts_settings"] = tts = dict(tts)
        _resolve(tts, "tts_model_id", "model_id")
    if isinstance(stt := body.get("stt_settings"), dict):
        body["stt_settings"] = _resolve_stt(stt)
    return body


def _resolve_stt(stt: Tree) -> Tree:
    stt = dict(stt)
    if type(endpointing := stt.get("endpointing")) is int:
        stt["endpointing"] = {"silence_threshold": endpointing}
    if isinstance(terms := stt.get("keyterms"), str):
        parts = terms.split(",") if "," in terms else terms.split()
        stt["keyterms"] = [part.strip() for part in parts if part.strip()]
    if isinstance(keywords := stt.get("keywords"), list):
        stt["keywords"] = keywords = [dict(k) if isinstance(k, dict) else k for k in keywords]
        for keyword in keywords:
            if isinstance(keyword, dict):
                _resolve(keyword, "boost", "intensifier")
    return stt


def _resolve(members: Tree, alias: str, name: str) -> None:
    if alias in members:
        value = members.pop(alias)
        members.setdefault(name, value)
