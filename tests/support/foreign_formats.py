"""The number formats as ml_dtypes and gfloat have them."""

import gfloat
import ml_dtypes
from gfloat.formats import (
    format_info_ocp_e2m1,
    format_info_ocp_e2m3,
    format_info_ocp_e3m2,
    format_info_ocp_e4m3,
    format_info_ocp_e5m2,
    format_info_ocp_e8m0,
    format_info_ocp_int8,
)

ML_DTYPES = {
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e3m4": ml_dtypes.float8_e3m4,
    "ue8m0": ml_dtypes.float8_e8m0fnu,
}


def unsigned_info(name: str, exponent_bits: int, mantissa_bits: int, high_nans: int = 1) -> gfloat.FormatInfo:
    return gfloat.FormatInfo(
        name,
        exponent_bits + mantissa_bits,
        mantissa_bits + 1,
        bias=(1 << (exponent_bits - 1)) - 1,
        is_signed=False,
        domain=gfloat.Domain.Finite,
        has_nz=False,
        num_high_nans=high_nans,
        has_subnormals=True,
        is_twos_complement=False,
    )


GFLOAT = {
    "e2m1": format_info_ocp_e2m1,
    "e2m3": format_info_ocp_e2m3,
    "e3m2": format_info_ocp_e3m2,
    "e4m3": format_info_ocp_e4m3,
    "e5m2": format_info_ocp_e5m2,
    "e3m4": gfloat.FormatInfo(
        "e3m4",
        8,
        5,
        bias=3,
        is_signed=True,
        domain=gfloat.Domain.Extended,
        has_nz=True,
        num_high_nans=15,
        has_subnormals=True,
        is_twos_complement=False,
    ),
    "int8": format_info_ocp_int8,
    "ue8m0": format_info_ocp_e8m0,
    "ue4m3": unsigned_info("ue4m3", 4, 3),
    "ue5m3": unsigned_info("ue5m3", 5, 3),
    "ue4m4": unsigned_info("ue4m4", 4, 4),
    "ue5m3_ieee": unsigned_info("ue5m3_ieee", 5, 3, high_nans=8),
    "ue4m3_full": unsigned_info("ue4m3_full", 4, 3, high_nans=0),
}
