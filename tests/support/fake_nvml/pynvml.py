"""NVIDIA's management library as tests need it, found through PYTHONPATH: two GPUs, one busy."""

from types import SimpleNamespace

NVML_TEMPERATURE_GPU = 0
_GIB = 2**30


class NVMLError(Exception):
    pass


def nvmlInit():
    pass


def nvmlDeviceGetCount():
    return 2


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetUtilizationRates(device):
    return SimpleNamespace(gpu=90 * device, memory=10)


def nvmlDeviceGetMemoryInfo(device):
    return SimpleNamespace(used=(1 + device) * _GIB, total=80 * _GIB)


def nvmlDeviceGetTemperature(device, sensor):
    return 40 + device
