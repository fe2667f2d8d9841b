from __future__ import annotations

import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ggtui.core.errors import ModelFileError
from ggtui.core.files.gguf import GgufFile
from ggtui.core.types import TYPES
from tests.core.files import gguf_bytes as b
from tests.core.files.gguf_bytes import ARRAY, BOOL, F32, F64, I32, STRING, U8, U32, array, file, key, string, tensor, u32, u64
