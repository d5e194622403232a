"""Tree ensembles as scikit-learn, xgboost and lightgbm export them, made when a test asks for one."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

SETS = {"cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}
SETTINGS: dict[str, Any] = {"random_state": 0, "n_estimators": 10}
Export = Callable[[Any, NDArray[np.float32]], Any]


def rows_of(name: str) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Standardised features in multiples of 2^-10, as a client would send them, and targets."""
    data = SETS[name](return_X_y=True)
    rows = (data[0] - data[0].mean(axis=0)) / data[0].std(axis=0)
    return (np.rint(rows * 1024) / 1024).astype(np.float32), data[1]


def _sklearn(estimator: Any, rows: NDArray[np.float32]) -> Any:
    return to_onnx(estimator, rows[:1], options={"zipmap": False} if hasattr(estimator, "classes_") else None)


def _tools(kind: str) -> Export:
    def export(estimator: Any, rows: NDArray[np.float32]) -> Any:
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        convert = getattr(onnxmltools, f"convert_{kind}")
        return convert(estimator, initial_types=[("X", FloatTensorType([None, rows.shape[1]]))])

    return export


def _xgboost(name: str) -> Any:
    import xgboost

    return getattr(xgboost, name)(n_estimators=10, n_jobs=1)


def _lightgbm(name: str) -> Any:
    import lightgbm

    return getattr(lightgbm, name)(n_estimators=10, n_jobs=1, verbose=-1)


MODELS: dict[str, tuple[Callable[[], Any], Export]] = {
    "forest_cancer": (lambda: RandomForestClassifier(**SETTINGS), _sklearn),
    "forest_wine": (lambda: RandomForestClassifier(**SETTINGS), _sklearn),
    "forest_diabetes": (lambda: RandomForestRegressor(**SETTINGS), _sklearn),
    "extra_cancer": (lambda: ExtraTreesClassifier(**SETTINGS), _sklearn),
    "boosted_cancer": (lambda: GradientBoostingClassifier(**SETTINGS), _sklearn),
    "boosted_wine": (lambda: GradientBoostingClassifier(**SETTINGS), _sklearn),
    "boosted_diabetes": (lambda: GradientBoostingRegressor(**SETTINGS), _sklearn),
    "tree_cancer": (lambda: DecisionTreeClassifier(random_state=0), _sklearn),
    "tree_diabetes": (lambda: DecisionTreeRegressor(random_state=0), _sklearn),
    "xgboost_cancer": (lambda: _xgboost("XGBClassifier"), _tools("xgboost")),
    "xgboost_wine": (lambda: _xgboost("XGBClassifier"), _tools("xgboost")),
    "xgboost_diabetes": (lambda: _xgboost("XGBRegressor"), _tools("xgboost")),
    "lightgbm_cancer": (lambda: _lightgbm("LGBMClassifier"), _tools("lightgbm")),
    "lightgbm_wine": (lambda: _lightgbm("LGBMClassifier"), _tools("lightgbm")),
    "lightgbm_diabetes": (lambda: _lightgbm("LGBMRegressor"), _tools("lightgbm")),
}


@cache
def exported_trees(name: str) -> bytes:
    """The file of a name in `MODELS`; after the last underscore stands what it was trained on."""
    rows, targets = rows_of(name.rpartition("_")[2])
    make, export = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(export(make().fit(rows, targets), rows).SerializeToString())
