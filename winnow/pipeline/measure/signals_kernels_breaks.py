"""Kernel of word boundaries: the default rules of Unicode (UAX #29), one look-up per character, linear.

A Latin, Cyrillic or Arabic word is one piece, with the apostrophe or point inside it (don't, 3.5); every mark is
a piece of its own. In scripts that write no blanks the rules cut at every character: Han and Hiragana, and Thai,
Lao, Khmer and Burmese consonants each with the marks on it; Katakana stays together. That is exact and the same
everywhere, and it is no dictionary: a count of such pieces is a count of characters, not of words.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from winnow.pipeline.measure.signals_kernels_bytes import decode, hash_bytes
from winnow.pipeline.measure.signals_kernels_unicode import unpack

# Word_Break of Unicode 16.0 in the low five bits; whether `str.isalnum` of Unicode 14.0 and Extended_Pictographic.
(
    OTHER,
    CR,
    LF,
    NEWLINE,
    EXTEND,
    ZWJ,
    REGIONAL,
    FORMAT,
    KATAKANA,
    HEBREW,
    LETTER,
    SINGLE_QUOTE,
    DOUBLE_QUOTE,
    MID_NUM_LET,
    MID_LETTER,
    MID_NUM,
    NUMERIC,
    EXTEND_NUM_LET,
    WHITE,
) = range(19)
ALNUM, PICTURE = 32, 64
CLASS = 31

# Sets of classes as bits.
LETTERS = 1 << LETTER | 1 << HEBREW
ATTACHED = 1 << EXTEND | 1 << FORMAT | 1 << ZWJ
BEFORE_JOINER = LETTERS | 1 << NUMERIC | 1 << KATAKANA | 1 << EXTEND_NUM_LET
IN_WORD = 1 << MID_LETTER | 1 << MID_NUM_LET | 1 << SINGLE_QUOTE
IN_NUMBER = 1 << MID_NUM | 1 << MID_NUM_LET | 1 << SINGLE_QUOTE
WORDLIKE = LETTERS | 1 << NUMERIC


@njit(cache=True, nogil=True, _nrt=False)
def after_attached(data: Any, at: Any, stop: Any, breaks: Any) -> Any:
    """(start, class, bytes) of the first character from `at` on that attaches to none before it; OTHER at the end."""
    while at < stop:
        point, size = decode(data, at, stop)
        found = np.int64(breaks[point] & CLASS)
        if ATTACHED >> found & 1 == 0:
            return at, found, size
        at += size
    return at, OTHER, 0


@njit(cache=True, nogil=True, _nrt=False)
def bridged(last: Any, here: Any, beyond: Any) -> Any:
    """Whether a mark of class `here` between two characters of these classes lies inside one word or number."""
    if LETTERS >> last & 1 and IN_WORD >> here & 1:
        return LETTERS >> beyond & 1 != 0
    if last == HEBREW and here == DOUBLE_QUOTE:
        return beyond == HEBREW
    return last == NUMERIC and IN_NUMBER >> here & 1 != 0 and beyond == NUMERIC


@njit(cache=True, nogil=True, _nrt=False)
def joined(last: Any, here: Any) -> Any:
    """Whether no boundary lies between two neighbours of these classes."""
    if WORDLIKE >> last & 1 and WORDLIKE >> here & 1:
        return True
    if last == KATAKANA and here == KATAKANA:
        return True
    if here == EXTEND_NUM_LET:
        return BEFORE_JOINER >> last & 1 != 0
    if last == EXTEND_NUM_LET:
        return (WORDLIKE | 1 << KATAKANA) >> here & 1 != 0
    return last == REGIONAL and here == REGIONAL


@njit(cache=True, nogil=True, _nrt=False)
def piece_end(data: Any, at: Any, stop: Any, breaks: Any) -> Any:
    """End of the piece that begins at `at` in data[at:stop], which holds no white space."""
    point, size = decode(data, at, stop)
    last: Any = np.int64(breaks[point] & CLASS)
    before, at = last, at + size
    if point < 0x80 and breaks[point] & ALNUM:
        # most words are ASCII letters and digits alone, which never part
        while at < stop and data[at] < 0x80 and breaks[data[at]] & ALNUM:
            at += 1
        if at == stop:
            return at
        last = np.int64(breaks[data[at - 1]] & CLASS)
        before = last
    if ATTACHED >> last & 1:
        last = OTHER
    while at < stop:
        point, size = decode(data, at, stop)
        flag = np.int64(breaks[point])
        here = flag & CLASS
        if ATTACHED >> here & 1 or (before == ZWJ and flag & PICTURE):
            last = last if ATTACHED >> here & 1 else here
            before, at = here, at + size
            continue
        if joined(last, here):
            # a flag is two indicators, and a third begins the next
            last = OTHER if here == REGIONAL else here
        else:
            if IN_WORD >> here & 1 == 0 and IN_NUMBER >> here & 1 == 0 and here != DOUBLE_QUOTE:
                return at
            beyond, found, more = after_attached(data, at + size, stop, breaks)
            if more and bridged(last, here, found):
                at, size, here, last = beyond, more, found, found
            elif last == HEBREW and here == SINGLE_QUOTE:
                last = here
            else:
                return at
        before, at = here, at + size
    return at


@njit(cache=True, nogil=True, _nrt=False)
def cut_words(data: Any, spans: Any, runs: Any, breaks: Any, only_words: Any, pieces: Any) -> Any:
    """Number of pieces of the runs data[spans[0, k]:spans[1, k]]; fills their starts, ends, hashes and characters.

    `pieces` is (starts, ends, hashes, chars_to); chars_to[k] are the characters before piece k, white space left
    out. `only_words` leaves out the pieces whose first character is neither letter nor number.
    """
    starts, ends, hashes, chars_to = pieces
    found = 0
    chars_to[0] = 0
    for k in range(runs):
        at, stop = np.int64(spans[0, k]), np.int64(spans[1, k])
        while at < stop:
            end = piece_end(data, at, stop, breaks)
            if not only_words or breaks[decode(data, at, stop)[0]] & ALNUM:
                starts[found], ends[found] = at, end
                hashes[found] = hash_bytes(data, at, end)
                chars = 0
                for byte in range(at, end):
                    chars += data[byte] & 0xC0 != 0x80
                chars_to[found + 1] = chars_to[found] + chars
                found += 1
            at = end
    return found


@functools.cache
def breaks() -> npt.NDArray[np.uint8]:
    """Word_Break, ALNUM and PICTURE per code point, u8[0x110000]."""
    table = unpack("".join(_PACKED.split()))
    table.flags.writeable = False
    return table


_PACKED = """
c-oy>O^h5z6|U~Co}TIX*_rWrcfIS~Eho-qw*5D@u{Q=3bwqF!$A}1U1RVHPKqL_fKjOj#<-
!5DaUv2YWFbz71CnnDL6Eq>1s^ydgcNb%z>!l#y?Wo9dQ%>+!3XPYRad=w|9|7!7?T;3=f)HsW>a2IGlm1pun)L~{UO2Hn7M}|+AsZj+n5IDCK=W>uZt
%cw*Fs}^WPP%3;(xYJK${qM}SWD3Y^)*dLQtQS$MM^_;ts_4&$pmJx%2y?gu#W@GWC(iMu&yvAibU2#3%yDk41rt^<A&@CShY9eWplA4L9|g5NcGe{>k
%33OiY_we0<o+U{8T@QDRIkZgYq2TKKwZ}0AziaenKi;cIuIK!FC;cAuMEhgWVa~MJFDo7^zE5Wew}pHHPK!0+Din`vk-
va%&%+%)Yd+)u22ITf_HxGm-HW)jP02dk-
C$b^cYA;Zpx2)zJ3WOx%e>RR*#bYEsN*s16OP93ZGlHmhrO<FP5~>HSKvF3Hg3l8tm%SQ;b9}%!9tb=>?)7?4Y+YHKzX~1GdAkQ6bTLTmgmdm%f6y<1-
|VuwB;+HqS2I*js@NV-
>c{=VlP6Qg|FDYqNS&J$&R6=OytzX{X#))Z+Rk{9=>&wdymr7!`@$|rwZ^m9c7UYS1Wv?mqN+HVx1>3CRh7%p5Op_EuoKM*)NTXT~>UJV&)Kcx`{3%j*
eIGo+bDz6_d2@=PPv4W%)Yg2Mb-SdcQtK2M?p8^Pv4M=|E!J0QXWmJdAN|<vWNma-QCG#e+8Ibexg<Q|L?LP*3SMhwT;0-
#bYT=z>4^Rp6I&IOq51eOGY~3vw1;q4Q5K=TZl`2Dp{%*9srvYltgla;{SNkt>}8KbuM)^u3OEZ3-o(h#j1TJ+G^rSH^rn-!1&w-r!v3aF%>)-
a#z1jN3u}u23>6@ZHPL4e&ifJ`}$>Q2HsAp3Y(aV_EdqJc;po|1epfG5_1WHLPzW`yT-;AcuA4E%>YdXI_c<AlTCzIj<*-
XSxl3Uc&c2;`J1Hm2jSbfA+DT!)JzxzsUXvSoe|-oQ-y}@C(?2n?#?eMCKjT1Xc8R`viPU<bM-2qttf;*v^1)gg5q-
trG3$L5t_vb(q)rQ;0E=&#tlE1l!t;G1DrV=R@$*<@fDn#Li1xI|kb=aCU;4VgNp=?is2Y={(mw;XB#-I%+w@<se)7`z-X>V@P#tus!HL=vrdSN#-
TU3vtKh%XN|YjfbsYZ)DLva#fegx|`Tz3iomD+CyraLhb8XN9vE^atvLZtI%5%vBx0VOMkcOvaJn~JBQHGh<cNf?PxMUAA#67fi14V7F*n%08Vj_<X%Z
XA$64adkwoGny<3&+6lf{6%*=224(!-
9w$q?oa<hbo}*mGA^F%LmV_F@)77HpY2VBkiVQvvcoXmx+kR_VzU`|Xe%RyLX8)lY{g%%WwXcKRFMtzrY7uMO4>D~na$5@@4Dg#c{~gG`ANgKD)F5q<t
ZTftru3JAR()S+mvx_I)KX2ehx}3~dPfQTHe~dtjL)6GyH}I<i2wIcGocm>z68APxZLmzVwmcG>?ZD3iNE~6&~dy8xc{874J#XTr#MzP)D5ktYlc|iQ1
=AczXBdmvvkovcR%aT!zO2?%5$HKejM!1)6vY?9%l|QeUIZt(7_t&fEqQX*5M|;Q|$7*bZP(79{!x-
(<$S8d@|+}#{I~e#^*V65po@7Ov4zlG3U5RIHVUe62lRn?8|@~{AMk2^s9g^`tW>3tzF{VNxYe<K1SlK&LQ}2q`vq0uo*zcSI|S&Di2N(r;DV%m%MWty
-to?HAKGHjk*ZAXM~y_u`1v$V=WWvA*tIAalWVO*KSg~cKAIfdAwlyU6#~PsL5QeYA1qQ(cYx*mOd%GQ>#3q;VS=t{naD*;<r@)m(u*Rb1d&o#LUYCeX
#y|#<aZVX*vMz0rU&MJ%p?XQk*}8{tvVGo!(o5bpA^ohkwGno(27y7W~lcV5a)Aajc6*1GT0c1$j-<`5D%uZO}@4-&gZ7#F*jZ&ffYQt0+F4-
G@!B(u?TsG{Xw@RwH;a)QY-iUc)`oo3G)_cOml&Tx*BA!J-
Z%Tlxn4=WS)*msR}SK@I0{ugCE|=<fhFR$?z#{X<vza^vAoW3CQ1Bj*IpFmDmx?JIs(%?6J9UN9b-
J({D8?Rx|DYnNwDi~g`t{oqHH+$AoYPw+~v*^Kp?+l;-
0+Xo+%3+9P_P*=DO%py=5H#d>H(2Iq9F@_&sL~T?o_hZJ!Sh%R=c2#d8ak0nr$v2lpJ%>CYdOD35fmue#5!WHJ4aMsT@Iil1(Q6XlKHi%b{rbqms~j@}
tPq!>=S8iJ+J5Zctx>aC%pdB%avpJ7KY8?9slDqX$YB??qRi|z(65rc?x^0X;aZ(&qMp@AZ9ww6#x@^%u64xjY<boi&Jvyrzz;ha+t{;&b&eTmrFf+`&
LRg$oKW?{V&3><>>o^~=$qrNg`HSs51@6CL(#uG=^r!DGr&v$_^Ix+&pxCF*1lDPmrKA=D!%Mv%=FYOedSCqotu@aFNL33v6(*8vY6-
Raqdm=X|dl^GY>siwQ9bKdjSqX(=KA>6tXXubr<TAJ)Q%FUQ*XGV(WJyJK?p*^^5do)N6<PlbEX-
@HIa`E*?gCEo8sW{zJb*ILs`9|Dr|<@r7*t9^x2%e-
*h>W@Q7VyDaHJg_kWg!xbIaI779Wno$tmn+oUCitkFzUFGghte@;G&ixj#B8xEi+(q{Pg`B2{JAdH*uwFx4>8KgsQ>u0WY;bOV0{!M*wA*lweC@>*_Im
(X6f1roQv5B&xlV$^A#dutWuo8f8Rrg}3FXQ@hp=mJH?{VKA$X@VcT^wbW1jOiWPVbZ<|`h)$+l*G=izOC;fpwT$#Ts%#%!p=@(gk9oi(0;ypWsb-gb~
zjk<dLu0MDqXWI8;%m}=HJXwpJ#dqh>Ibv%wQ1fD$SD%F6kvx8xg<7V@yl4C_?3wE3uVJoc)x7#B{yswTp&3ltZv;AW)bjt?<T=xQYg~go{?8}4F9S_8
=xqiZv;8d8=Ccc`{-
&O8gno|j{m`EwCSM0HL(~(!sB`&!LE=(%dkkC7LmeRfh~3NM?+qQcwW_OpY!CeY81eKS<byXj4>(`Tnmdre3lIL@v=ql}ocAr|2=R;OlKE&i`F=XdDP=
ONk#nEIT<ny}SNiwl$6ZStx<aPr|2RU7yrSX@dbrT5ieHl5zib&Fe7OFLn!8VyW7?7*lYV_(t<M1OTU>t&zhsY#T3Bj;=Q8$<3^T6t@O?USKMQiKu^!)
NKdL1r(B6All%-
wK6A=7;oN0zRyzfcP^UE<e(6s3Z{ZO3gIN)@*(MQOf;kW9oo#f3dsiW(JHk}7L$xLt6tgd(j{zt*|o=xo3K7>A@dy>peOSS(zUucKiqqqB*w`}A86Kta
{u{>Y9HQ@EFnsvIEyZLoH<=-6WZU=H+%mUZd*&gOP7BjbBWnt!IpY<^09uKMi_#VyPFe|*nwM2{G-
`Z!`KU$e*&amDKV<0|v3GdW^_dMQzt9br?!Sww7F832R#=*AC-w+4i-Y|~*>+-JejXXjhyWBrKp)Z{<?$`gSLqARLeZiCDX*C|V9lxKO{{l94C}j
"""
