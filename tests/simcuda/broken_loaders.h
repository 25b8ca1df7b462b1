// SPDX-License-Identifier: Apache-2.0
/*  broken_loaders.h - how a broken loader ends that has noticed: the model on the device is not the model */
#ifndef SIMCUDA_BROKEN_LOADERS_H
#define SIMCUDA_BROKEN_LOADERS_H

#define WRONG_BYTES 3

#endif
