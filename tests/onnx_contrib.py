#!/usr/bin/env python3
# onnx_contrib.py: writes test cases of com.microsoft and ai.onnx.ml operators with the results of ONNX Runtime.
# SPDX-License-Identifier: Apache-2.0
#
# They have the layout of ONNX's backend test data, for onnx_conformance to read; tests/onnx_contrib.tar.xz holds what it
# wrote, for ctest:
#
#   python3 tests/onnx_contrib.py contrib && tar -cJf tests/onnx_contrib.tar.xz --sort=name --mtime=@0 -C contrib .
#
# Needs the packages onnx and onnxruntime.
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper, numpy_helper

rng = np.random.default_rng(1)
MS = "com.microsoft"


def f(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def u8(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def s(x):
    return np.float32(x)


def u(x):
    return np.uint8(x)


cases = []


def case(name, op, inputs, outputs=1, consts=(), domain=MS, **attrs):
    """inputs: arrays or None; consts: which of them are initialisers; outputs: how many, or a list of flags."""
    cases.append((name, op, inputs, outputs, set(consts), domain, attrs))


x = f(2, 4, 8)
case("gelu", "Gelu", [x])
case("bias_gelu", "BiasGelu", [x, f(8)])
case("fast_gelu", "FastGelu", [x])
case("fast_gelu_bias", "FastGelu", [x, f(8)])
case("quick_gelu", "QuickGelu", [x], alpha=1.5)
case("bias_softmax", "BiasSoftmax", [f(2, 3, 4, 5), f(2, 1, 1, 5)], axis=3, is_inner_broadcast=0)
case("fused_matmul", "FusedMatMul", [f(2, 3, 4), f(2, 5, 4)], transB=1, alpha=0.5)
case("fused_matmul_ta", "FusedMatMul", [f(2, 4, 3), f(2, 4, 5)], transA=1)
case("fused_matmul_batch", "FusedMatMul", [f(3, 2, 4), f(2, 4, 5)], transBatchA=1)
case("fused_matmul_batch_ta", "FusedMatMul", [f(3, 2, 4), f(2, 3, 5)], transA=1, transBatchA=1)
case("fused_gemm", "FusedGemm", [f(3, 4), f(4, 5), f(5)], activation="LeakyRelu", activation_alpha=0.2)
case("fused_conv", "FusedConv", [f(1, 3, 8, 8), f(4, 3, 3, 3), f(4)], activation="Relu", pads=[1, 1, 1, 1])
case("fused_conv_sum", "FusedConv", [f(1, 3, 8, 8), f(4, 3, 3, 3), f(4), f(1, 4, 8, 8)], activation="Relu",
     pads=[1, 1, 1, 1])
case("fused_conv_clip", "FusedConv", [f(1, 3, 8, 8), f(4, 3, 3, 3), f(4)], activation="Clip",
     activation_params=[0.0, 0.5])
case("skip_ln", "SkipLayerNormalization", [x, f(2, 4, 8), f(8), f(8), f(8)], [1, 0, 0, 1], epsilon=1e-5)
case("skip_ln_short", "SkipLayerNormalization", [x, f(2, 4, 8), f(8)], epsilon=1e-5)
case("skip_rms", "SkipSimplifiedLayerNormalization", [x, f(2, 4, 8), f(8)], [1, 0, 0, 1], epsilon=1e-5)
case("simplified_ln", "SimplifiedLayerNormalization", [x, f(8)], domain="", axis=-1, epsilon=1e-5)
ids = rng.integers(0, 10, (2, 4)).astype(np.int32)
seg = rng.integers(0, 2, (2, 4)).astype(np.int32)
case("embed_ln", "EmbedLayerNormalization", [ids, seg, f(10, 8), f(6, 8), f(2, 8), f(8), f(8),
                                             np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32)], 2, epsilon=1e-5)
case("embed_ln_plain", "EmbedLayerNormalization", [ids, None, f(10, 8), f(6, 8), None, f(8), f(8)], [1, 1],
     epsilon=1e-5)

w, b = f(8, 24) * 0.3, f(24)
case("attention", "Attention", [x, w, b], num_heads=2)
case("attention_causal", "Attention", [x, w, b], num_heads=2, unidirectional=1)
case("attention_lengths", "Attention", [x, w, b, np.array([4, 2], np.int32)], num_heads=2)
case("attention_keys", "Attention", [x, w, b, np.array([[1, 1, 1, 0], [1, 0, 1, 1]], np.int32)], num_heads=2)
case("attention_mask3", "Attention", [x, w, b, rng.integers(0, 2, (2, 4, 4)).astype(np.int32)], num_heads=2)
case("attention_past", "Attention", [x, w, b, None, f(2, 2, 2, 3, 4)], 2, num_heads=2)
case("attention_bias", "Attention", [x, w, b, None, None, f(2, 2, 4, 4)], num_heads=2)
case("attention_sizes", "Attention", [x, f(8, 8 + 8 + 12), f(28)], num_heads=2, qkv_hidden_sizes=[8, 8, 12])
q, k, v = f(2, 4, 8), f(2, 6, 8), f(2, 6, 8)
case("mha", "MultiHeadAttention", [q, k, v], num_heads=2)
case("mha_bias", "MultiHeadAttention", [q, k, v, f(24)], num_heads=2, scale=0.3)
case("mha_mask", "MultiHeadAttention", [q, k, v, None, np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], np.int32)],
     num_heads=2)
case("mha_added", "MultiHeadAttention", [q, k, v, None, None, f(1, 2, 4, 6)], num_heads=2)
case("mha_causal", "MultiHeadAttention", [q, f(2, 4, 8), f(2, 4, 8)], num_heads=2, unidirectional=1)
case("mha_past", "MultiHeadAttention", [q, f(2, 4, 8), f(2, 4, 8), None, None, None, f(2, 2, 3, 4), f(2, 2, 3, 4)], 3,
     num_heads=2)
case("mha_cross", "MultiHeadAttention", [q, f(2, 2, 6, 4), f(2, 2, 6, 4)], num_heads=2)
case("mha_packed", "MultiHeadAttention", [f(2, 4, 2, 3, 4)], num_heads=2)
case("mha_packed_kv", "MultiHeadAttention", [q, f(2, 6, 2, 2, 4)], num_heads=2)
ang = f(16, 4)
cs, sn = np.cos(ang), np.sin(ang)
pos = np.array([[0, 1, 2, 3], [5, 6, 7, 8]], np.int64)
case("rotary", "RotaryEmbedding", [f(2, 4, 16), pos, cs, sn])
case("rotary_first", "RotaryEmbedding", [f(2, 4, 16), np.array([3], np.int64), cs, sn], interleaved=1)
case("rotary_4d", "RotaryEmbedding", [f(2, 2, 4, 8), pos, cs, sn])
case("rotary_part", "RotaryEmbedding", [f(2, 4, 24), pos, cs, sn], num_heads=2, rotary_embedding_dim=8)


def gqa(name, batch, seq, past, lengths, heads=4, groups=2, size=8, buffer=None, **attrs):
    buffer = past if buffer is None else buffer
    total = max(lengths) + 1
    c, n = np.cos(f(32, size // 2)), np.sin(f(32, size // 2))
    ins = [f(batch, seq, heads * size), f(batch, seq, groups * size), f(batch, seq, groups * size),
           f(batch, groups, buffer, size), f(batch, groups, buffer, size),
           np.array(lengths, np.int32), np.array([total], np.int32)]
    if attrs.get("do_rotary"):
        ins += [c, n]
    case(name, "GroupQueryAttention", ins, 3, consts=[6], num_heads=heads, kv_num_heads=groups, **attrs)


gqa("gqa_prompt", 2, 5, 0, [4, 4])
gqa("gqa_step", 1, 1, 6, [6])
gqa("gqa_rotary", 1, 1, 6, [6], size=16, do_rotary=1)
gqa("gqa_rotary_prompt", 1, 5, 0, [4], size=16, do_rotary=1, rotary_interleaved=1)
gqa("gqa_window", 1, 6, 0, [5], local_window_size=3)
gqa("gqa_softcap", 1, 6, 0, [5], softcap=2.0)

sc = [s(0.02), s(0.03), s(0.05)]
case("qadd", "QLinearAdd", [u8(2, 3, 4), sc[0], u(100), u8(3, 4), sc[1], u(120), sc[2], u(128)])
case("qadd_i8", "QLinearAdd", [i8(2, 3), sc[0], np.int8(3), i8(2, 3), sc[1], np.int8(-5), sc[2], np.int8(1)])
case("qmul", "QLinearMul", [u8(2, 3, 4), sc[0], u(100), u8(3, 4), sc[1], u(120), sc[2], u(128)])
case("qsigmoid", "QLinearSigmoid", [u8(2, 30), s(0.05), u(128), s(1 / 256), u(0)])
case("qleaky", "QLinearLeakyRelu", [u8(2, 30), s(0.05), u(128), s(0.03), u(100)], alpha=0.1)
case("qsoftmax", "QLinearSoftmax", [u8(2, 3, 10), s(0.05), u(128), s(1 / 256), u(0)], consts=[1, 2, 3, 4], axis=-1,
     opset=13)
case("qgap", "QLinearGlobalAveragePool", [u8(1, 3, 5, 5), s(0.05), u(128), s(0.03), u(100)], channels_last=0)
case("qgap_last", "QLinearGlobalAveragePool", [u8(1, 5, 5, 3), s(0.05), u(128), s(0.03), u(100)], channels_last=1)
case("qavg", "QLinearAveragePool", [u8(1, 3, 6, 6), s(0.05), u(128), s(0.03), u(100)], kernel_shape=[3, 3],
     pads=[1, 1, 1, 1], strides=[2, 2])
case("qconcat", "QLinearConcat", [sc[2], u(120), u8(2, 3), sc[0], u(100), u8(2, 4), sc[1], u(130)], axis=1,
     consts=[0, 1, 3, 4, 6, 7])
case("qwhere", "QLinearWhere", [rng.integers(0, 2, (2, 3)).astype(bool), u8(2, 3), sc[0], u(100), u8(2, 3), sc[1],
                                u(130), sc[2], u(120)])
case("qgemm", "QGemm", [u8(3, 4), sc[0], u(120), u8(4, 5), sc[1], u(130), rng.integers(-99, 99, 5).astype(np.int32),
                        sc[2], u(128)])
case("qgemm_float", "QGemm", [u8(3, 4), sc[0], u(120), i8(5, 4), sc[1], np.int8(3)], transB=1, alpha=0.5)
case("mitf", "MatMulIntegerToFloat", [u8(3, 4), u8(4, 5), sc[0], sc[1], u(120), u(130), f(5)])
# Half the range: where there is no VNNI ONNX Runtime adds two products of u8 and i8 in 16 bits, which saturate.
case("mitf_columns", "MatMulIntegerToFloat", [u8(3, 4), i8(4, 5) // 2, sc[0], np.abs(f(5)) * s(0.1), u(120)])
case("dqmm", "DynamicQuantizeMatMul", [f(3, 4), i8(4, 5) // 2, sc[0], np.int8(0), f(5)])


def nbits(name, n, k, block, bits, zeros, bias=False, rows=3):
    count = -(-k // block)
    ins = [f(rows, k), u8(n, count, block * bits // 8), f(n * count)]
    ins.append(u8(n * (-(-count * bits // 8))) if zeros else None)
    if bias:
        ins += [None, f(n)]
    case(name, "MatMulNBits", ins, consts=[1, 2, 3, 5], K=k, N=n, bits=bits, block_size=block)


nbits("nbits4", 8, 64, 32, 4, False)
nbits("nbits4_zero", 8, 64, 16, 4, True)
nbits("nbits4_odd", 5, 48, 32, 4, True, bias=True)
nbits("nbits8", 8, 64, 32, 8, True)
case("trilu", "Trilu", [f(4, 4)], upper=1)
case("expand_dims", "ExpandDims", [f(4, 4), np.array([1], np.int32)], consts=[1])
case("nhwc_max_roi", "MaxRoiPool", [f(2, 3, 8, 8), np.array([[0, 0, 0, 7, 7], [1, 2, 1, 6, 4]], np.float32)],
     domain="", pooled_shape=[2, 3], spatial_scale=1.0)


# ---- ai.onnx.ml ----------------------------------------------------------------------------------------------------

ML = "ai.onnx.ml"
rows = f(9, 4)


# Two trees: one of three leaves, one of two.
def trees(modes, missing=0):
    return dict(nodes_treeids=[0, 0, 0, 0, 0, 1, 1, 1], nodes_nodeids=[0, 1, 2, 3, 4, 0, 1, 2],
                nodes_featureids=[0, 0, 2, 0, 0, 3, 0, 0], nodes_values=[0.1, 0, -0.2, 0, 0, 0.3, 0, 0],
                nodes_modes=[modes[0], "LEAF", modes[1], "LEAF", "LEAF", modes[2], "LEAF", "LEAF"],
                nodes_truenodeids=[1, 0, 3, 0, 0, 1, 0, 0], nodes_falsenodeids=[2, 0, 4, 0, 0, 2, 0, 0],
                nodes_missing_value_tracks_true=[missing] * 8)


LEAVES = dict(treeids=[0, 0, 0, 1, 1], nodeids=[1, 3, 4, 1, 2])
for i, modes in enumerate((["BRANCH_LEQ"] * 3, ["BRANCH_LT"] * 3, ["BRANCH_GTE"] * 3, ["BRANCH_GT"] * 3,
                           ["BRANCH_EQ", "BRANCH_NEQ", "BRANCH_LEQ"])):
    case(f"trees_regressor_{i}", "TreeEnsembleRegressor", [rows], domain=ML, n_targets=1, target_ids=[0] * 5,
         target_weights=[0.5, -1.0, 2.0, 0.25, 4.0], base_values=[0.125 * i],
         aggregate_function=["SUM", "AVERAGE", "MIN", "MAX", "SUM"][i],
         **{f"target_{k}": v for k, v in LEAVES.items()}, **trees(modes, i % 2))
case("trees_two_targets", "TreeEnsembleRegressor", [rows], domain=ML, n_targets=2, target_ids=[0, 1, 0, 1, 0],
     target_weights=[0.5, -1.0, 2.0, 0.25, 4.0], **{f"target_{k}": v for k, v in LEAVES.items()}, **trees(["BRANCH_LEQ"] * 3))
for post in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"):
    case(f"trees_classifier_{post.lower()}", "TreeEnsembleClassifier", [rows], 2, domain=ML, classlabels_int64s=[3, 5, 9],
         class_ids=[0, 1, 2, 0, 1], class_weights=[0.5, 1.0, 2.0, 0.25, 0.75], post_transform=post,
         **{f"class_{k}": v for k, v in LEAVES.items()}, **trees(["BRANCH_LEQ"] * 3))
    case(f"trees_binary_{post.lower()}", "TreeEnsembleClassifier", [rows], 2, domain=ML, classlabels_int64s=[0, 1],
         class_ids=[0] * 5, class_weights=[0.5, 0.1, 0.9, 0.25, 0.75], post_transform=post,
         **{f"class_{k}": v for k, v in LEAVES.items()}, **trees(["BRANCH_LT"] * 3))
for kernel, params in (("LINEAR", [0.0, 0, 0]), ("POLY", [0.5, 1.0, 2.0]), ("RBF", [0.3, 0, 0]), ("SIGMOID", [0.2, 0.1, 0])):
    vectors = f(3, 4).ravel().tolist()
    case(f"svm_regressor_{kernel.lower()}", "SVMRegressor", [rows], domain=ML, kernel_type=kernel, kernel_params=params,
         n_supports=3, support_vectors=vectors, coefficients=[0.5, -1.0, 0.25], rho=[0.3])
    case(f"svm_classifier_{kernel.lower()}", "SVMClassifier", [rows], 2, domain=ML, kernel_type=kernel, kernel_params=params,
         classlabels_ints=[0, 1], vectors_per_class=[2, 1], support_vectors=vectors, coefficients=[0.5, -1.0, 0.25],
         rho=[0.3])
case("svm_three_classes", "SVMClassifier", [rows], 2, domain=ML, kernel_type="RBF", kernel_params=[0.3, 0, 0],
     classlabels_ints=[0, 1, 2], vectors_per_class=[1, 1, 1], support_vectors=f(3, 4).ravel().tolist(),
     coefficients=f(2, 3).ravel().tolist(), rho=[0.3, -0.1, 0.2])
case("svm_one_class", "SVMRegressor", [rows], domain=ML, kernel_type="RBF", kernel_params=[0.3, 0, 0], n_supports=2,
     support_vectors=f(2, 4).ravel().tolist(), coefficients=[0.5, 0.5], rho=[-0.6], one_class=1)
for post in ("NONE", "SOFTMAX", "LOGISTIC"):
    case(f"linear_classifier_{post.lower()}", "LinearClassifier", [rows], 2, domain=ML, coefficients=f(3, 4).ravel().tolist(),
         intercepts=[0.1, -0.2, 0.3], classlabels_ints=[4, 7, 1], multi_class=1, post_transform=post)
case("linear_binary", "LinearClassifier", [rows], 2, domain=ML, coefficients=f(4).tolist(), intercepts=[0.1],
     classlabels_ints=[0, 1], post_transform="LOGISTIC")
case("linear_regressor", "LinearRegressor", [rows], domain=ML, coefficients=f(2, 4).ravel().tolist(), intercepts=[0.5, -1.0],
     targets=2)
case("scaler", "Scaler", [rows], domain=ML, offset=[0.1, 0.2, 0.3, 0.4], scale=[1.0, 2.0, 0.5, 4.0])
for norm in ("MAX", "L1", "L2"):
    case(f"normalizer_{norm.lower()}", "Normalizer", [rows], domain=ML, norm=norm)
case("binarizer", "Binarizer", [rows], domain=ML, threshold=0.25)
case("imputer", "Imputer", [np.where(rows > 1, np.float32("nan"), rows)], domain=ML, imputed_value_floats=[1.0, 2.0, 3.0, 4.0],
     replaced_value_float=float("nan"))
case("feature_extractor", "ArrayFeatureExtractor", [rows, np.array([[2, 0]], np.int64)], domain=ML, consts=[1])
case("label_encoder", "LabelEncoder", [np.array([3, 1, 8, 2], np.int64)], domain=ML, keys_int64s=[1, 2, 3],
     values_floats=[0.5, 1.5, 2.5], default_float=-1.0)
case("one_hot", "OneHotEncoder", [np.array([3, 1, 8, 2], np.int64)], domain=ML, cats_int64s=[1, 2, 3], zeros=1)
case("feature_vectorizer", "FeatureVectorizer", [rows, f(9, 2)], domain=ML, inputdimensions=[4, 2])


def value_info(name, array):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def write(folder, name, op, inputs, outputs, consts, domain, attrs):
    flags = [1] * outputs if isinstance(outputs, int) else outputs
    inputs = [np.asarray(a) if a is not None else None for a in inputs]
    names = [f"x{i}" if a is not None else "" for i, a in enumerate(inputs)]
    outs = [f"y{i}" if on else "" for i, on in enumerate(flags)]
    node = helper.make_node(op, names, outs, domain=domain, **attrs)
    fed = [i for i, a in enumerate(inputs) if a is not None and i not in consts]
    inits = [numpy_helper.from_array(inputs[i], names[i]) for i in sorted(consts) if i < len(inputs) and inputs[i] is not None]
    sets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1), helper.make_opsetid(ML, 3)]

    def model(results):
        graph = helper.make_graph([node], name, [value_info(names[i], inputs[i]) for i in fed], results, inits)
        return helper.make_model(graph, opset_imports=sets, ir_version=8)

    untyped = [onnx.ValueInfoProto(name=o) for o in outs if o]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model(untyped).SerializeToString(), options)
    results = session.run(None, {names[i]: inputs[i] for i in fed})
    typed = [value_info(o, r) for o, r in zip([o for o in outs if o], results)]
    data = os.path.join(folder, name, "test_data_set_0")
    os.makedirs(data, exist_ok=True)
    onnx.save(model(typed), os.path.join(folder, name, "model.onnx"))
    for kind, arrays in (("input", [inputs[i] for i in fed]), ("output", results)):
        for i, a in enumerate(arrays):
            with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as out:
                out.write(numpy_helper.from_array(np.asarray(a)).SerializeToString())


failures = 0
for c in cases:
    try:
        write(sys.argv[1], *c)
    except Exception as e:  # this build of ONNX Runtime does not have the operator, or not like this
        failures += 1
        print(f"{c[0]}: no case: {str(e)[:300]}")
print(f"{len(cases) - failures} cases")
