"""Questions to a model behind an OpenAI-compatible address: asked together, within a cap, each paid answer kept.

Imports words and operators; every layer may import it. `urllib3` and `jsonschema` (the extra `[endpoint]`) are imported
where a question is asked.
"""
