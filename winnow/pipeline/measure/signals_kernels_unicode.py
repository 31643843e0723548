"""One byte of flags per code point, the same on every machine: Unicode 14.0, whatever Python is running.

`str.isalpha` and friends follow the Unicode version of the interpreter, so counts would change with it. The
five general properties are therefore shipped run-length coded (`_PACKED`, written by `pack`); the two sets of
marks that published filters test for are written out as code points.
"""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

UNICODE_VERSION = "14.0.0"
CODE_POINTS = 0x110000

SPACE, ALPHA, DIGIT, UPPER, LOWER, PUNCT, TERMINAL, BREAK = (1 << bit for bit in range(8))

# Where `str.splitlines` cuts.
BREAKS = "A-D 1C-1E 85 2028-2029"

# Marks that end a sentence in some script: the 159 code points that datatrove 0.10.1 tests FineWeb lines with
# (`utils/text.py`, TERMINAL_PUNCTUATION).
TERMINALS = (
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 "
    "17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F "
    "203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 "
    "AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 "
    "110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 "
    "115C9-115D7 11641-11642 1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 "
    "16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88"
)

# A word made of these alone is a symbol, not a word: ASCII punctuation and controls, common marks of other
# scripts (datatrove 0.10.1, `utils/text.py`, PUNCTUATION), and every mark of `TERMINALS`.
SYMBOLS = (
    "0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001-3002 3008-300D "
    "3010-3011 FF01 FF05 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E"
)


def code_points(ranges: str) -> list[int]:
    """Ascending code points of `"A-D 85"`: blank-separated hexadecimal numbers or inclusive ranges."""
    found: list[int] = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        found.extend(range(int(first, 16), int(last or first, 16) + 1))
    return found


def pack(flags: Iterable[int]) -> str:
    """The run-length coded, compressed form of one flag value per code point."""
    runs = bytearray()
    values = np.fromiter(flags, dtype=np.uint8, count=CODE_POINTS)
    cuts = np.flatnonzero(np.diff(values)) + 1
    for start, stop in zip([0, *cuts], [*cuts, CODE_POINTS], strict=True):
        runs += int(stop - start).to_bytes(3, "little") + bytes([values[start]])
    return base64.b85encode(zlib.compress(bytes(runs), 9)).decode()


def unpack(packed: str) -> npt.NDArray[np.uint8]:
    """One flag value per code point, u8[0x110000]; the inverse of `pack`."""
    runs = np.frombuffer(zlib.decompress(base64.b85decode(packed)), dtype=np.uint8).reshape(-1, 4).astype(np.int64)
    lengths = runs[:, 0] | runs[:, 1] << 8 | runs[:, 2] << 16
    return np.repeat(runs[:, 3], lengths).astype(np.uint8)


@functools.cache
def flags() -> npt.NDArray[np.uint8]:
    """Flags per code point, u8[0x110000]: SPACE ALPHA DIGIT UPPER LOWER as `str.isspace`, `isalpha`,
    `isdecimal`, `isupper`, `islower` of Unicode 14.0 say; PUNCT, TERMINAL and BREAK from the lists above.
    """
    table = unpack("".join(_PACKED.split()))
    table[code_points(SYMBOLS)] |= PUNCT
    table[code_points(TERMINALS)] |= PUNCT | TERMINAL
    table[code_points(BREAKS)] |= BREAK
    table.flags.writeable = False
    return table


_PACKED = """
c-rk+zi%8x6rP#gz1!XM`OfS3?)>9yCwH;q*op0s9~c@36h~1|LV+v=2_%F_L81tWbTkMF(ZD}IL4{J&P^3Ug0X;O72q;3sA3(`_JKx;Bo9x
*p5S-YNY<;`4GjHC!dGqGYH<u`-BBk^wutu0F6_yF7=&@umqcWxGZwi=LbmdtHBpIqn?dVyNjI>2%{2W{4@&k!xpWE*znu7A6pxnI&7;jimF
58(s^k;_1_v@pcak_<gMp?GY^S;ih8KP5gfY+0cWzR39ZNojZzl8bk5|S(f|5GFMjM&HJ3O3Gh+hYBsMPH_?=X6pbVx30Z#5aX`>b<*hjNzS
PY1$EU?bgAQv}ZK<uKcy~0^!<I<O6Z>92^KVhitz%K&Te%T;%bB*ZdNdUnZQU_t3@!bBb`8a00niXk$PgKi(DbriSt|kn09ER^{L8B0kL$wh
3<#R!}|)`A6wFfehqjhV!z9ct`$b0wCpVY7%`{P``z~Xk3P3m7+LkULrg%+GW79?K_vxI&ix>-eZix02`277Gn=!tH2v;RoE&J@?oF6P7EEx
9r`c@IEOy<;22nT-dEkm=3d`=2f0y!O=@BeSgx~qWe+wfk~=%Z7Eb>$;U6Wmb9y`58ZlniParS=^1j$WJ?FO*&|BK039Jh}r|{kRt?}&O<~H
0xURp5zIdA^t_zlMI&(~7H`iby8_UxF#Zu~t%zitgA!fpohG>3NF@0!qS1m6>UUo5bD1Z;WbsgRS1{vuH?5q`?^Ixp<Q<qct1%6H5(+JA^Rb
OiOeZb_^ix&8tXi=2(B7@N>FZ@(b&n+RxZUzu3n*%jUQMdPi1S-#}GA60v6SHt^;SN<yDarh|vz&7+N*<4HAHn!fFZO3Qa+y|~ArpK^DhIll
NSepT>!smF+pC#-FA9wa-do2jN-GJN(dL9$w;{LY~<7i&ZBHGOgf8aQ>f<C68tLvi)KRHLZEc#@uqK~%-SFvtlq2m(vm#Wx@R<N$wpJq_c#S
4D!LazjQ^fGMBx$KgNvn4O?xUoK<cAEz{$9s<Zhskq0JT>zW+p}?o_?yRw80GN}-{twa2wmGzw8gve5$9ed_$L>0GsLq;z9Toyj3`I$!hB~M
?a+>5v~JsSjlEH?0+Fv}h{svo?j_lK7*i<rQpuYI-nl)n`@sO`;A7Z-@9`yw$-QwIv44kx(;c&WXH5U~K*Z?vAm4Xl`mZ<2c@8wd83enWQ^S
JuY<$Rgt!IJPE*0#{(ho*#4(R+bgAe6?^&)Z{mw&swr0kt{{t3Pgc|U5qj@-HLB=Vw2oDa5<7rFDmn<6)ikPq|w+sK0`mo{t26<NrGNo6=M`
C?lc$|Kcj<T+Js*LNNHkLl;t&+1%De&K)X8+?DB>#pORWggRx!699v>A&L?huPaaY1>8~KCYbbQMt<Fwj~bKZS`YAZ`=Xy2(-taIDVpyGajG
)&WQ6+OYkn*<8k==49;^bW0J6q*tiNA@=P8HK7h+2!DlpuUa{aWN{}tj@Mk=Z&4}}(@$NfXg14!Nv;PRjWjrj3<L=B~g)Lbpiq}~O=SipM*U
MIJ6Z)?+(n0@@w({Sn_XR6A-(RBsybkarRgX{6L-@Yigd|?w(w3jw#5kDCJORGzu8{K?;rNid@CwfE!4SJR{;&hN8s~Ej?m+5QLw)ikL+5|>
5#guW`bGe|tYTkc`yCPU4(=uQDaQ+R1+T{Y7>zBZ|LhvRJNtK$Uv`n_od6$p7V}*}zE~4?`Qq-1zi0TK;d?Lt<$dykw*Jw8elh$DvB|i6`6Q
6f2A72W+&r!n@C62blZt$TIg*Q>eN)jt+kXrBND1FJ1y37#>%EP9!p%b)^XYiC8SrZ7y?(|qPs|P7A-qC(fspUhsuuHnzY9C_d~9jUtvkK0p
+CuQH=qy8r5r>}p#LW1oI|<fLyh3jPk|?#6g+nVJ!;}!LhJ{5za3%s5%8R&uvewuUvKSoprb}#Zw%q<wBYMf5eLU0^Km)yOz6txU%@t+$oUX
Y^SPeIn2vZHZH#*NpqJyYx}v@oHdsI|S@rG`&f_j<LaaU3|2};Cu3g*dy!|ark7JkIdF+k1g*lUUcXvNqqWz+GXQT)BnS9Nc1;_8ka~iSF*^
_;^tot1JadFpB6MG-WpbrY>XF<qMgdIv=y?Kmdz<%1UsqavJo$$**nTLem)B9^w=^f~?8Y=S>JzS>D{XPZz4P)iZd3^PC?|l~IT!Xzru{IN|
wFqnb8`Gb!kHHbUed!hKN1L86vCaQ#TA%tkwCk8{`Ny&TTJUYw(e~ajfUQIL<mXh*O5H-gRrr1)?%-}V?S933)f9d^q3ycNT)F%$f)PA}dv|
<63@$+CQBGb($TNaxfX@!>8-5+E+f;HGvaZyBH=My4ViN5qp&#=||8<%Cy~i0IN;$WAp6gId$bQo{)~1+K<HgpCy6<l*B6oWj_I)5M$PpNSA
bi>06Qsw)?^T?Pdttxrv?oJ*`)ca-C1XU%ySvZ@80;c{H}u>2>mVGWpVNCx+~djokIU~G%S$0&>*385Yo3Jude82M8+E&Get{mJG;9o7Z!0r
LL130*$nPZl>bNrB{#jLj15v=dF8
"""
