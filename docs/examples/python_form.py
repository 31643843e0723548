"""The Python form on text that every machine has: the standard library.

python docs/examples/python_form.py RUN_ROOT
"""

import sys
import sysconfig

import polars as pl
from my_scorers import most_explained

import winnow as w

root = sys.argv[1] if len(sys.argv) > 1 else "runs/python_form"
stdlib = sysconfig.get_paths()["stdlib"]

docs = w.read(f"{stdlib}/email/*.py", f"{stdlib}/json/*.py", f"{stdlib}/asyncio/*.py", reader="text_files", base=stdlib)
pool = docs.signals().filter(name="clean", keep={"long": "word_count > 50"}).minhash(threshold=0.75)
chosen = pool.select(most_explained(tokens="40k"))

print(chosen.to_yaml())  # the same recipe: `winnow run` reuses what this program runs
print(chosen.plan(root))

run = chosen.write().run(root, workers=0, progress=False)
print(run)
shares = run.frame("comment_share", ["comment_share", "origin"])
kept = run.frame("most_explained", ["kept"]).filter("kept").join(shares, on="doc_id")
print(
    kept.select("origin", pl.col("comment_share").round(3))
    .sort("comment_share", "origin", descending=True)
    .head(5)
    .collect()
)
