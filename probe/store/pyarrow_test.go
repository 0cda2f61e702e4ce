package store

import (
	"bytes"
	"os/exec"
	"testing"

	"loupe/internal/graphtest"
)

// TestPyArrowReadsShards opens token shards, docs and moments with pyarrow through a memory map.
func TestPyArrowReadsShards(t *testing.T) {
	python := graphtest.Python(t, "pyarrow", "numpy")
	dir := makeStore(t, testSpec())
	cmd := exec.Command(python, "-c", `
import glob, json, sys, numpy as np, pyarrow as pa
d = sys.argv[1]
m = json.load(open(d + "/manifest.json"))
def read(p):
    t = pa.ipc.open_file(pa.memory_map(p)).read_all(); t.validate(full=True); return t
token = pa.concat_tables([read(p) for p in sorted(glob.glob(d + "/token/*.arrow"))])
assert token.num_rows == m["rows"] == sum(s["token"]["rows"] for s in m["shards"])
f = token.schema.field("blocks.1.attn.hook_z")
assert f.type.list_size == 18 and f.type.value_type == pa.float16(), f
assert f.metadata[b"shape"] == b"2,9"
z = token.column("blocks.1.attn.hook_z").combine_chunks().flatten().to_numpy().astype(np.float64) * float(f.metadata[b"scale"])
assert abs(z.std() - 1) < 0.05 and abs(z.mean()) < 0.05, (z.mean(), z.std())
x = token.column("blocks.0.hook_resid_post").combine_chunks().flatten().to_numpy().reshape(-1, 6).astype(np.float64)
special = token.column("special").to_numpy()
for name, rows in (("all", x), ("non-special", x[~special])):
    diag = read(d + "/moments/blocks.0.hook_resid_post/diagonal.arrow").to_pylist()
    r = [r for r in diag if r["filter"] == name and not r["label"]][0]
    assert r["count"] == len(rows)
    np.testing.assert_allclose(r["mean"], rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(r["m2"], rows.var(0) * len(rows), rtol=1e-10)
    cross = [r for r in read(d + "/moments/blocks.0.hook_resid_post/cross.arrow").to_pylist() if r["filter"] == name and not r["label"]][0]
    np.testing.assert_allclose(np.reshape(cross["cross"], (6, 6)), np.cov(rows.T, bias=True) * len(rows), rtol=1e-9)
import hashlib
h = hashlib.sha256()
for a, b, c in zip(*(token.column(n).to_pylist() for n in ("doc", "pos", "token"))):
    h.update(a.to_bytes(8, "little") + b.to_bytes(4, "little") + c.to_bytes(4, "little"))
assert h.hexdigest() == m["row_digest"]
docs = read(d + "/docs.arrow").to_pylist()
assert docs[3]["text"] == "text 1003" and docs[3]["digest"] == hashlib.sha256(b"text 1003").hexdigest() and docs[3]["label:topic"] in ("art", "sea", "")
assert len(docs) == m["docs"]
for s in m["shards"]:
    for k in ("token", "example"):
        b = open(d + "/" + s[k]["path"], "rb").read()
        assert len(b) == s[k]["bytes"] and hashlib.sha256(b).hexdigest() == s[k]["sha256"]
`, dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
}
