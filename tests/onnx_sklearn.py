#!/usr/bin/env python3
"""onnx_sklearn.py: what scikit-learn, LightGBM and XGBoost export, compiled, beside ONNX Runtime.

SPDX-License-Identifier: Apache-2.0

    python3 tests/onnx_sklearn.py BUILD [--only NAME] [--keep FOLDER]

Trains small models on the data sets that come with scikit-learn, exports them with skl2onnx and onnxmltools (as they
do by default: labels may be strings, probabilities come through ZipMap), and compares labels and scores of rows that
the models have not seen. Needs scikit-learn, skl2onnx, onnxmltools, onnxruntime; LightGBM and XGBoost where installed.
"""

import argparse
import os
import sys
import tempfile
import warnings

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn import (datasets, ensemble, feature_selection, linear_model, naive_bayes, neighbors, neural_network,
                     pipeline, preprocessing, svm, tree, cluster, decomposition, mixture, discriminant_analysis,
                     impute, calibration, isotonic, kernel_ridge, multiclass, gaussian_process)

import compiled

ROWS, MOST = 37, 64


def classes(load, names):
    data = load()
    return data.data.astype(np.float32), data.target_names[data.target] if names else data.target


DATA = {
    "iris": lambda: classes(datasets.load_iris, False),
    "iris_names": lambda: classes(datasets.load_iris, True),
    "cancer": lambda: classes(datasets.load_breast_cancer, False),
    "digits": lambda: classes(datasets.load_digits, False),
    "diabetes": lambda: [a.astype(np.float32) for a in datasets.load_diabetes(return_X_y=True)],
}


def chain(*steps):
    return pipeline.make_pipeline(*steps)


SCALE = preprocessing.StandardScaler
MODELS = {  # name -> (data, model)
    "forest": ("iris", lambda: ensemble.RandomForestClassifier(20, random_state=0)),
    "forest_names": ("iris_names", lambda: ensemble.RandomForestClassifier(20, random_state=0)),
    "forest_two": ("cancer", lambda: ensemble.RandomForestClassifier(30, random_state=0)),
    "forest_digits": ("digits", lambda: ensemble.RandomForestClassifier(50, random_state=0)),
    "forest_regression": ("diabetes", lambda: ensemble.RandomForestRegressor(30, random_state=0)),
    "extra_trees": ("digits", lambda: ensemble.ExtraTreesClassifier(20, random_state=0)),
    "tree": ("iris", lambda: tree.DecisionTreeClassifier(random_state=0)),
    "tree_regression": ("diabetes", lambda: tree.DecisionTreeRegressor(random_state=0, max_depth=6)),
    "boosting": ("iris", lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0)),
    "boosting_two": ("cancer", lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0)),
    "boosting_regression": ("diabetes", lambda: ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0)),
    "ada": ("iris", lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=0)),
    "bagging": ("iris", lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=0)),
    "isolation": ("cancer", lambda: ensemble.IsolationForest(n_estimators=20, random_state=0)),
    "logistic": ("iris", lambda: linear_model.LogisticRegression(max_iter=1000)),
    "logistic_names": ("iris_names", lambda: linear_model.LogisticRegression(max_iter=1000)),
    "logistic_two": ("cancer", lambda: chain(SCALE(), linear_model.LogisticRegression())),
    "ridge": ("diabetes", lambda: linear_model.Ridge()),
    "ridge_classifier": ("iris", lambda: linear_model.RidgeClassifier()),
    "sgd": ("iris", lambda: chain(SCALE(), linear_model.SGDClassifier(random_state=0))),
    "perceptron": ("iris", lambda: chain(SCALE(), linear_model.Perceptron(random_state=0))),
    "poisson": ("diabetes", lambda: linear_model.PoissonRegressor()),
    "svr": ("diabetes", lambda: chain(SCALE(), svm.SVR(C=50))),
    "svr_poly": ("diabetes", lambda: chain(SCALE(), svm.SVR(kernel="poly"))),
    "svc": ("iris", lambda: svm.SVC()),
    "svc_two": ("cancer", lambda: chain(SCALE(), svm.SVC(kernel="sigmoid"))),
    "svc_digits": ("digits", lambda: chain(preprocessing.MinMaxScaler(), svm.SVC(kernel="poly"))),
    "linear_svc": ("iris", lambda: svm.LinearSVC()),
    "one_class": ("cancer", lambda: chain(SCALE(), svm.OneClassSVM())),
    "neighbours": ("iris", lambda: neighbors.KNeighborsClassifier(5)),
    "neighbours_regression": ("diabetes", lambda: neighbors.KNeighborsRegressor(4)),
    "bayes": ("iris", lambda: naive_bayes.GaussianNB()),
    "bayes_counts": ("digits", lambda: naive_bayes.MultinomialNB()),
    "bayes_bits": ("digits", lambda: naive_bayes.BernoulliNB(binarize=4)),
    "perceptrons": ("digits", lambda: neural_network.MLPClassifier((32,), max_iter=60, random_state=0)),
    "perceptrons_names": ("iris_names", lambda: neural_network.MLPClassifier((8,), max_iter=300, random_state=0)),
    "perceptrons_regression": ("diabetes", lambda: neural_network.MLPRegressor(hidden_layer_sizes=(16,), max_iter=50, random_state=0)),
    "means": ("iris", lambda: cluster.KMeans(3, random_state=0, n_init=2)),
    "mixture": ("iris", lambda: mixture.GaussianMixture(3, random_state=0)),
    "principal": ("digits", lambda: chain(decomposition.PCA(10), linear_model.LogisticRegression(max_iter=300))),
    "discriminant": ("iris", lambda: discriminant_analysis.LinearDiscriminantAnalysis()),
    "quadratic": ("iris", lambda: discriminant_analysis.QuadraticDiscriminantAnalysis()),
    "bins": ("iris", lambda: chain(preprocessing.KBinsDiscretizer(4, encode="onehot-dense"),
                                   linear_model.LogisticRegression())),
    "polynomial": ("iris", lambda: chain(preprocessing.PolynomialFeatures(2), linear_model.Ridge())),
    "normal": ("iris", lambda: chain(preprocessing.Normalizer("l2"), linear_model.LogisticRegression())),
    "normal_max": ("diabetes", lambda: chain(preprocessing.Normalizer("max"), linear_model.Ridge())),
    "robust": ("cancer", lambda: chain(preprocessing.RobustScaler(), linear_model.LogisticRegression())),
    "powers": ("cancer", lambda: chain(preprocessing.PowerTransformer(), linear_model.LogisticRegression())),
    "imputer": ("iris", lambda: chain(impute.SimpleImputer(), ensemble.RandomForestClassifier(5, random_state=0))),
    "select": ("digits", lambda: chain(feature_selection.SelectKBest(k=20), tree.DecisionTreeClassifier())),
    "calibrated": ("iris", lambda: calibration.CalibratedClassifierCV(naive_bayes.GaussianNB())),
    "one_vs_rest": ("iris", lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression())),
    "vote": ("iris", lambda: ensemble.VotingClassifier([("a", naive_bayes.GaussianNB()),
                                                        ("b", linear_model.LogisticRegression())], voting="soft",
                                                       flatten_transform=False)),
    "stack": ("iris", lambda: ensemble.StackingClassifier([("a", naive_bayes.GaussianNB()),
                                                           ("b", tree.DecisionTreeClassifier(random_state=0))])),
    "gaussian_process": ("diabetes", lambda: gaussian_process.GaussianProcessRegressor(alpha=1.0)),
}


def boosters():
    """name -> (data, model, converter) of the libraries that are installed."""
    found = {}
    try:
        import lightgbm
        from onnxmltools.convert import convert_lightgbm
        make = lambda kind, **o: lambda: kind(n_estimators=20, verbose=-1, **o)  # noqa: E731
        for name, data, kind in (("lightgbm", "iris", lightgbm.LGBMClassifier),
                                 ("lightgbm_two", "cancer", lightgbm.LGBMClassifier),
                                 ("lightgbm_regression", "diabetes", lightgbm.LGBMRegressor)):
            found[name] = (data, make(kind), convert_lightgbm)
    except ImportError:
        print("LightGBM: not installed")
    try:
        import xgboost
        from onnxmltools.convert import convert_xgboost
        for name, data, kind in (("xgboost", "iris", xgboost.XGBClassifier),
                                 ("xgboost_two", "cancer", xgboost.XGBClassifier),
                                 ("xgboost_regression", "diabetes", xgboost.XGBRegressor)):
            found[name] = (data, lambda kind=kind: kind(n_estimators=20), convert_xgboost)
    except ImportError:
        print("XGBoost: not installed")
    return found


def export(model, x, converter):
    if converter is None:
        return to_onnx(model, x[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    from onnxmltools.convert.common.data_types import FloatTensorType
    return converter(model, initial_types=[("X", FloatTensorType([None, x.shape[1]]))], target_opset=15)


def as_array(value):
    """ZipMap's list of maps as a matrix; strings stay strings."""
    if isinstance(value, list):
        return np.array([[row[key] for key in row] for row in value])
    return np.asarray(value)


def strings_of(library, build):
    """Output name -> its strings, from the library's metadata."""
    import ctypes
    import json
    api = ctypes.CDLL(os.path.join(build, "runtime/libingot.so"))
    api.ingot_model_metadata.restype = ctypes.c_char_p
    meta = json.loads(api.ingot_model_metadata(library.model)).get("meta", {})
    return {key[len("strings."):]: np.array(text.split("\n")) for key, text in meta.items()
            if key.startswith("strings.")}


def compare(name, what, build, folder):
    data, make, converter = what
    x, y = DATA[data]()
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[ROWS:], order[:ROWS]
    model = make().fit(x[train], y[train])
    path, library = os.path.join(folder, f"{name}.onnx"), os.path.join(folder, f"{name}.so")
    with open(path, "wb") as f:
        f.write(export(model, x, converter).SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    want = dict(zip([o.name for o in session.get_outputs()], session.run(None, {given.name: x[test]})))
    compiled.compile_model(build, path, library, f"--shape={given.name}=N<={MOST},{x.shape[1]}")
    lib = compiled.Library(build, library)
    got, strings = lib.run({given.name: x[test]}), strings_of(lib, build)
    worst = 0
    for output, value in want.items():
        value, mine = as_array(value), got[output]
        if value.dtype.kind in "US" or output in strings:
            mine = strings[output][mine]
        if value.dtype.kind in "USOiub":
            if not np.array_equal(mine.reshape(value.shape), value):
                return f"{(mine.ravel() != value.ravel()).sum()} of {value.size} values of {output} differ"
        elif mine.shape != value.shape:
            return f"{output} has the shape {mine.shape}, should be {value.shape}"
        else:
            worst = max(worst, np.linalg.norm(mine - value) / max(np.linalg.norm(value), 1e-30))
    return f"{output} is {worst:.1e} away" if not worst < 1e-5 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--only")
    parser.add_argument("--keep")
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    models = {name: (*what, None) for name, what in MODELS.items()} | boosters()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in [a.only] if a.only else models:
            try:
                problem = compare(name, models[name], a.build, a.keep or folder)
            except (compiled.Failed, KeyError) as failure:
                problem = str(failure)[:400]
            except Exception as failure:  # of an exporter: not ours
                print(f"{name}: not exported: {type(failure).__name__}: {str(failure)[:100]}")
                continue
            bad += problem is not None
            print(f"{name}: {problem or 'ok'}", flush=True)
    print(f"{bad} failed")
    return bad > 0


sys.exit(main())
