"""ncnn, float32 storage and arithmetic; it has no batches, so a batch is a loop over images."""

import ncnn
import numpy as np
from protocol import nchw, serve


def load(folder, images, threads):
    net = ncnn.Net()
    net.opt.num_threads = threads
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    net.load_param(str(folder / "model.param"))
    net.load_model(str(folder / "model.bin"))
    mats = [ncnn.Mat(image).clone() for image in nchw(images)]
    last = []

    def call():
        last[:] = [infer(net, mat) for mat in mats]

    return ncnn.__version__, call, lambda: np.stack([np.array(out) for out in last])


def infer(net, mat):
    extractor = net.create_extractor()
    extractor.input("images", mat)
    return extractor.extract("logits")[1]


serve(load)
