"""Own functions of the example: they live in a saved module, so that workers can import them."""

import polars as pl

import winnow as w


@w.scorer("comment_share")
def comment_share(text: pl.Series) -> pl.Series:
    """Share of lines that are comments, in [0, 1]; null for an empty text."""
    return text.str.count_matches(r"(?m)^\s*#") / (text.str.count_matches("\n") + 1)


@w.selector("most_explained", needs=("comment_share", "token_count"))
def most_explained(rows: pl.DataFrame, budget: int) -> pl.Series:
    """Weight 1 for the documents with the largest share of comments that fit the budget together."""
    ranked = rows.with_row_index("row").sort("comment_share", descending=True, nulls_last=True, maintain_order=True)
    fits = (ranked["token_count"].cum_sum() <= budget).fill_null(False)
    return ranked.select("row", weight=fits.cast(pl.Float64)).sort("row")["weight"]
