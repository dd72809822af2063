/* The constants of double.c and its companions, each rounded to 128 bits.
 *
 * Rows are what the comment above each table says they are; tests compare the functions made of them
 * with decimal arithmetic.
 */
#ifndef REPOPS_DOUBLE_TABLES_H
#define REPOPS_DOUBLE_TABLES_H

#include "wide.h"

/* ln 2 is LN2_HIGH + LN2_LOW; the first has 116 bits, so that its multiples by exponents are exact. */
static const wide LN2 = WIDE(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af, -1, 0);
static const wide LN2_HIGH = WIDE(0xb17217f7d1cf79ab, 0xc9e3b39803f2f000, -1, 0);
static const wide LN2_LOW = WIDE(0xd5e81e6864ce5316, 0xc5b141a2eb71755f, -118, 0);
static const wide PER_LN2 = WIDE(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89, 0, 0);
static const wide PER_LN10 = WIDE(0xde5bd8a937287195, 0x355baaafad33dc32, -2, 0);
static const wide PI = WIDE(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, 1, 0);
static const wide HALF_PI = WIDE(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, 0, 0);
static const wide PER_SQRT_PI = WIDE(0x906eba8214db688d, 0x71d48a7f6bfec344, -1, 0);

/* 1 / k! */
static const wide PER_FACTORIAL[34] = {
  WIDE(0x8000000000000000, 0x0000000000000000, 0, 0),
  WIDE(0x8000000000000000, 0x0000000000000000, 0, 0),
  WIDE(0x8000000000000000, 0x0000000000000000, -1, 0),
  WIDE(0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaab, -3, 0),
  WIDE(0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaab, -5, 0),
  WIDE(0x8888888888888888, 0x8888888888888889, -7, 0),
  WIDE(0xb60b60b60b60b60b, 0x60b60b60b60b60b6, -10, 0),
  WIDE(0xd00d00d00d00d00d, 0x00d00d00d00d00d0, -13, 0),
  WIDE(0xd00d00d00d00d00d, 0x00d00d00d00d00d0, -16, 0),
  WIDE(0xb8ef1d2ab6399c7d, 0x560e4472800b8ef2, -19, 0),
  WIDE(0x93f27dbbc4fae397, 0x780b69f5333c725b, -22, 0),
  WIDE(0xd7322b3faa271c7f, 0x3a3f25c1bee38f10, -26, 0),
  WIDE(0x8f76c77fc6c4bdaa, 0x26d4c3d67f425f60, -29, 0),
  WIDE(0xb092309d43684be5, 0x1c198e91d7b4269e, -33, 0),
  WIDE(0xc9cba54603e4e905, 0xd6f8a2efd1f27546, -37, 0),
  WIDE(0xd73f9f399dc0f88e, 0xc32b58774657f48f, -41, 0),
  WIDE(0xd73f9f399dc0f88e, 0xc32b58774657f48f, -45, 0),
  WIDE(0xca963b81856a5359, 0x3028cbbb8d7ff53c, -49, 0),
  WIDE(0xb413c31dcbecbbdd, 0x8024435161554bc3, -53, 0),
  WIDE(0x97a4da340a0ab926, 0x50f61dbdcb3a5abf, -57, 0),
  WIDE(0xf2a15d201011283d, 0x4e5695fc785d5dff, -62, 0),
  WIDE(0xb8dc77b6e7ab8c5f, 0x78a37e77372290c2, -66, 0),
  WIDE(0x8671cb6dbfc294a2, 0x86485bf99c763abc, -70, 0),
  WIDE(0xbb0da098b1c0cecb, 0xdc3826ebfb13cc27, -75, 0),
  WIDE(0xf96780cb97abbe65, 0x25a033e54ec51034, -80, 0),
  WIDE(0x9f9e66e8b2fd46a7, 0x22520cbbb7885c4a, -84, 0),
  WIDE(0xc4742fe35272cd1c, 0x790285d3580a4a34, -89, 0),
  WIDE(0xe8d58e16e6751905, 0x4d0c78aea13b9a50, -94, 0),
  WIDE(0x850c5131a842e9b9, 0xe2e28e1aa546a152, -98, 0),
  WIDE(0x92cfcc5a1ac56bd5, 0xf1873bb378948eb3, -103, 0),
  WIDE(0x9c9962823eb07306, 0x56f6a614c4e2ba59, -108, 0),
  WIDE(0xa1a6973c1fade217, 0x0f7237d35fe1c89e, -113, 0),
  WIDE(0xa1a6973c1fade217, 0x0f7237d35fe1c89e, -118, 0),
  WIDE(0x9cc092a6e86a8da9, 0xc166ffd4ba113ea8, -123, 0),
};

/* 1 / (2 k + 1) */
static const wide PER_ODD[14] = {
  WIDE(0x8000000000000000, 0x0000000000000000, 0, 0),
  WIDE(0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaab, -2, 0),
  WIDE(0xcccccccccccccccc, 0xcccccccccccccccd, -3, 0),
  WIDE(0x9249249249249249, 0x2492492492492492, -3, 0),
  WIDE(0xe38e38e38e38e38e, 0x38e38e38e38e38e4, -4, 0),
  WIDE(0xba2e8ba2e8ba2e8b, 0xa2e8ba2e8ba2e8ba, -4, 0),
  WIDE(0x9d89d89d89d89d89, 0xd89d89d89d89d89e, -4, 0),
  WIDE(0x8888888888888888, 0x8888888888888889, -4, 0),
  WIDE(0xf0f0f0f0f0f0f0f0, 0xf0f0f0f0f0f0f0f1, -5, 0),
  WIDE(0xd79435e50d79435e, 0x50d79435e50d7943, -5, 0),
  WIDE(0xc30c30c30c30c30c, 0x30c30c30c30c30c3, -5, 0),
  WIDE(0xb21642c8590b2164, 0x2c8590b21642c859, -5, 0),
  WIDE(0xa3d70a3d70a3d70a, 0x3d70a3d70a3d70a4, -5, 0),
  WIDE(0x97b425ed097b425e, 0xd097b425ed097b42, -5, 0),
};

/* exp(j / 32) - 1 for j from -12 */
static const wide EXPM1_32[25] = {
  WIDE(0xa01b9ea167171558, 0x4e48ff67bb7b117a, -2, 1),
  WIDE(0x94f008d2147631da, 0xbf5975c0c01e274e, -2, 1),
  WIDE(0x8969ad20dd081ecb, 0xba08abb1f108f56c, -2, 1),
  WIDE(0xfb0b53ceed1d42d6, 0x5d56c6041816b3df, -3, 1),
  WIDE(0xe2820c2a6fbea2f2, 0xfa8d0d8a725c311a, -3, 1),
  WIDE(0xc93160e1a1850a8d, 0xfedd89484a194513, -3, 1),
  WIDE(0xaf12fda7ef1087f4, 0xd889beb751068f85, -3, 1),
  WIDE(0x94205ac1b67b3b0a, 0x80a0a3d684aa2a09, -3, 1),
  WIDE(0xf0a576c49f779e1e, 0x0a76cb068515a82a, -4, 1),
  WIDE(0xb74657f9a0ff532a, 0xe7bdaf11163b1674, -4, 1),
  WIDE(0xf82a021c7eae18d0, 0xe700fcfb653a2816, -5, 1),
  WIDE(0xfc0a95774a286eb4, 0xff5406889d8ca2e4, -6, 1),
  WIDE(0, 0, 0, 0),
  WIDE(0x8205601127ec98e0, 0xbd083aba80c97a6b, -5, 0),
  WIDE(0x8415abbe9a76bead, 0x8d00cf112e4d4a8e, -4, 0),
  WIDE(0xc949b83a7066b449, 0xe8c66dd40755e14f, -4, 0),
  WIDE(0x8858116dbd733e73, 0xb5a20e1381ae350a, -3, 0),
  WIDE(0xad2d62cdcb1e5404, 0xdd9f031675f64d2a, -3, 0),
  WIDE(0xd32e05c2d60d4b53, 0x831232df19924d14, -3, 0),
  WIDE(0xfa637aa84772ea8d, 0xdef7010301455b5d, -3, 0),
  WIDE(0x916bc787d030ccec, 0xf7876d37557ca69e, -2, 0),
  WIDE(0xa64a3019f59eed94, 0x5b3053246d3f6c9e, -2, 0),
  WIDE(0xbbd22ec08bfea76a, 0x2648ca62ea880785, -2, 0),
  WIDE(0xd2092597f28659fb, 0x5f3020a46f4e9661, -2, 0),
  WIDE(0xe8f4a27b7ded4c46, 0x8f16cb3612480b8b, -2, 0),
};

/* -log(c), where c is 8192 / k rounded to a whole number, over 128, for k from 45 */
static const wide LOG_64[47] = {
  WIDE(0xb43640f4d8a57622, 0x15f080a71c34b25c, -2, 1),
  WIDE(0xa8d56c396fc1684e, 0x49eb067d578c4754, -2, 1),
  WIDE(0x9d3262ab4a2f4e39, 0x79ae6ba06846fadf, -2, 1),
  WIDE(0x944ad09ef4351af5, 0xa49827e081cb16b5, -2, 1),
  WIDE(0x882c5fcd7256a8c4, 0xfd055a6598e7c29a, -2, 1),
  WIDE(0xfdc8c36af1f1546a, 0xaa3361bca6965049, -3, 1),
  WIDE(0xeae10b5a7ddc8adc, 0x886b2fc9a803878e, -3, 1),
  WIDE(0xd79e4a7405ff96c6, 0x7300c9be67ae5d9e, -3, 1),
  WIDE(0xc3fd032906488481, 0x00480bee4cbbd695, -3, 1),
  WIDE(0xaff983853c9e9e43, 0x9f105039091dd7f3, -3, 1),
  WIDE(0x9b8fe100f47ba1de, 0x6cb62af189fcba08, -3, 1),
  WIDE(0x86bbf3e68472cb34, 0xbb8bd20615747121, -3, 1),
  WIDE(0xf1383b7157972f4f, 0x543fff0ff4f0aaee, -4, 1),
  WIDE(0xc61a2eb18cd907ad, 0x65a1532f6d5a1ab8, -4, 1),
  WIDE(0xa8d839f830c1fb49, 0x3c7343517c8ac25e, -4, 1),
  WIDE(0x8b29b7751bd70743, 0x12e0b9ee992f236d, -4, 1),
  WIDE(0xbba2c7b196e7e231, 0xa7950f7252c163ca, -5, 1),
  WIDE(0xfc14d873c1980267, 0xc7e09e3de453f5d6, -6, 1),
  WIDE(0xfe054587e01f1e7c, 0xf6d3a69bd5eab6fb, -7, 1),
  WIDE(0, 0, 0, 0),
  WIDE(0x8102b2c49ac23a4f, 0x91d082dce3ddcd38, -6, 0),
  WIDE(0x820aec4f3a222380, 0xb9e3aea6c444ef07, -5, 0),
  WIDE(0xc4a550a4fd9a19a8, 0xbe97660a23cc540d, -5, 0),
  WIDE(0x842cc5acf1d03445, 0x1fecdfa819b96098, -4, 0),
  WIDE(0x9550252238bd245d, 0x458e5a0b811c5975, -4, 0),
  WIDE(0xb8069857560707a3, 0x6a677b4c8bec22e1, -4, 0),
  WIDE(0xdb56446d6ad8deff, 0xa8112e35a60e6375, -4, 0),
  WIDE(0xed393b1c22351280, 0x3f4e2e660317d55f, -4, 0),
  WIDE(0x88bc74113f23def1, 0x9c5a0fe396f40f1e, -3, 0),
  WIDE(0x91eb89524e100d23, 0x8fd3df5c52d67e7b, -3, 0),
  WIDE(0xa489ec199dab06f2, 0xa9fb6cf0ecb411b7, -3, 0),
  WIDE(0xadfa035aa1ed8fdc, 0x149767e410316d2c, -3, 0),
  WIDE(0xc11e0b2a8d1e0ddb, 0x9a631e830fd30904, -3, 0),
  WIDE(0xcad2d6e7b80bf914, 0x2c507fb7a3d0bf6a, -3, 0),
  WIDE(0xd49f69e456cf1b79, 0x5f53bd2e406e66e7, -3, 0),
  WIDE(0xe881bf932af3dac0, 0xc524848e3443e040, -3, 0),
  WIDE(0xf29877ff38809091, 0x3b020fa1820c9492, -3, 0),
  WIDE(0xfcc8e3659d9bcbec, 0xca0cdf301431b60f, -3, 0),
  WIDE(0x8389c3026ac3139b, 0x62dda9d2270fa1f4, -2, 0),
  WIDE(0x88bc74113f23def1, 0x9c5a0fe396f40f1e, -2, 0),
  WIDE(0x934b1089a6dc93c1, 0xdf5bb3b60554e152, -2, 0),
  WIDE(0x98a78f0e9ae71d85, 0x2cdec34784707839, -2, 0),
  WIDE(0x9e1293b9998c1daa, 0x5b035eae273a855f, -2, 0),
  WIDE(0xa38c6e138e20d831, 0xf698298adddd7f32, -2, 0),
  WIDE(0xa9157039c51ebe70, 0x8164c759686a2209, -2, 0),
  WIDE(0xaeadeefacaf97d35, 0x7dd6e688ebb13b03, -2, 0),
  WIDE(0xb45641f4e350a0d3, 0x2756eba00bc33978, -2, 0),
};

/* atan(j / 16) */
static const wide ATAN_16[17] = {
  WIDE(0, 0, 0, 0),
  WIDE(0xffaaddb967ef4e36, 0xcb2792dc0e2e0d51, -5, 0),
  WIDE(0xfeadd4d5617b6e32, 0xc897989f3e888ef8, -4, 0),
  WIDE(0xbdcbda5e72d81134, 0x7b0b4f881c9c7488, -3, 0),
  WIDE(0xfadbafc96406eb15, 0x6dc79ef5f7a217e6, -3, 0),
  WIDE(0x9b13b9b83f5e5e69, 0xc5abb498d27af328, -2, 0),
  WIDE(0xb7b0ca0f26f78473, 0x8aa32122dcfe4483, -2, 0),
  WIDE(0xd327761e611fe5b6, 0x427c95e9001e7136, -2, 0),
  WIDE(0xed63382b0dda7b45, 0x6fe445ecbc3a8d03, -2, 0),
  WIDE(0x832bf4a6d9867e2a, 0x4b6a09cb61a515c1, -1, 0),
  WIDE(0x8f005d5ef7f59f9b, 0x5c835e1665c43748, -1, 0),
  WIDE(0x9a2f80e671bdda20, 0x4226f8e2204ff3bd, -1, 0),
  WIDE(0xa4bc7d1934f70924, 0x19a87f2a457dac9f, -1, 0),
  WIDE(0xaeac4c38b4d8c080, 0x14725e2f3e52070a, -1, 0),
  WIDE(0xb8053e2bc2319e73, 0xcb2da55210a4443d, -1, 0),
  WIDE(0xc0ce85b8ac526640, 0x89dd62c46e92fa25, -1, 0),
  WIDE(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1, -1, 0),
};

/* 2 / pi, 1344 bits, the highest first */
static const uint64_t TWO_PER_PI[21] = {
  0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041,
  0xfe5163abdebbc561, 0xb7246e3a424dd2e0, 0x06492eea09d1921c,
  0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41,
  0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
  0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
  0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08,
  0x56033046fc7b6bab, 0xf0cfbc209af4361d, 0xa9e391615ee61b08,
};

#endif
