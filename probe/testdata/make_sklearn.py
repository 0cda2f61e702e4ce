"""Reference fits of scikit-learn for the tests of package probe: writes sklearn.json beside this file.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python probe/testdata/make_sklearn.py
"""

import json
import os
import warnings

import numpy as np
from sklearn.calibration import _SigmoidCalibration
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, log_loss, roc_auc_score

warnings.simplefilter("ignore")
r = np.random.default_rng(5)
N, D, K = 90, 8, 3
y = np.sort(np.arange(N) % 7 % K)  # unequal classes
mix = r.standard_normal((D, D))
x = (r.standard_normal((N, D)) + 1.5 * r.standard_normal((K, D))[y]) @ mix + 3
x = x.astype(np.float32).astype(np.float64)  # what the rows of package probe hold
binary = (y == 1).astype(int)
t = x @ np.array([1.0, 0, -2, 0, 0, 0.5, 0, 0]) + 0.3 * r.standard_normal(N)
u = (x - x.mean(0)) / x.std(0)
out = {"n": N, "d": D, "k": K, "x": x.ravel().tolist(), "y": y.tolist(), "t": t.tolist()}

for name, shrinkage in (("none", None), ("fixed", 0.3)):
    m = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x, y)
    out["lda_" + name] = {"coef": m.coef_.tolist(), "intercept": m.intercept_.tolist()}

m = LogisticRegression(C=0.5, tol=1e-12, max_iter=10000).fit(x, y)
out["multinomial"] = {"C": 0.5, "coef": m.coef_.tolist(), "intercept": m.intercept_.tolist()}
p = m.predict_proba(x)
out["multinomial"]["auc_ovr"] = roc_auc_score(y, p, multi_class="ovr", average="macro")
out["multinomial"]["f1_macro"] = f1_score(y, m.predict(x), average="macro")
out["multinomial"]["log_loss"] = log_loss(y, p)

# on columns of mean 0 and standard deviation 1
out["logistic_net"] = []
out["linear_net"] = []
for alpha, lam in ((1.0, 0.05), (0.5, 0.05), (0.5, 0.005)):
    m = LogisticRegression(penalty="elasticnet", solver="saga", C=1 / (lam * N), l1_ratio=alpha, tol=1e-14, max_iter=200000).fit(u, binary)
    out["logistic_net"].append({"alpha": alpha, "lambda": lam, "coef": m.coef_[0].tolist(), "intercept": float(m.intercept_[0])})
    m = ElasticNet(alpha=lam, l1_ratio=alpha, tol=1e-14, max_iter=200000).fit(u, t)
    out["linear_net"].append({"alpha": alpha, "lambda": lam, "coef": m.coef_.tolist(), "intercept": float(m.intercept_)})

s = 3 * u[:, 0] - 1
m = _SigmoidCalibration().fit(s, binary)
q = m.predict(s)
out["platt"] = {"scores": s.tolist(), "slope": -float(m.a_), "offset": -float(m.b_), "brier": brier_score_loss(binary, q)}

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sklearn.json"), "w") as f:
    json.dump(out, f)
    f.write("\n")
