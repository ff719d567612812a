// The race's texts in Simplified Chinese.

import type { RaceMessages } from './race.en';

export const zh: RaceMessages = {
  title: '竞速',
  pageTitle: '竞速 · Espalier',
  playground: '训练场',
  lead: '在浏览器中训练或运行卷积神经网络的各个库，在本机上轮流上场：相同的网络、相同的权重、相同的图像。',
  speeds: '每秒图像数',
  speedsNote: '目前各回合的中位数；细线表示范围。',
  copy: '复制为 JSON',
  copied: '已复制。',
  notCopied: '浏览器不允许复制。',
  controls: '竞速',
  network: '网络',
  what: '比赛项目',
  start: '开始竞速',
  stop: '停止',
  progress: '竞速进度',
  ready: '准备就绪。各个库在竞速开始时才会下载。',
  checking: '正在核对各方的计算结果是否一致。',
  racing: '竞速进行中。',
  done: '完成。',
  stopped: '已停止。',
  left: (time) => `约剩 ${time}`,
  preparing: '正在准备网络和图像',
  checkingOne: (index, count, name) => `核对第 ${index} / ${count} 个：${name}`,
  turn: (index, count, name) => `第 ${index} / ${count} 回合：${name}`,
  nobody: '没有一个库能够启动，因此无法竞速。',
  otherLoss: (when, is, expected) =>
    `它${when === 'first' ? '在相同权重下' : '训练一步后'}的损失为 ${is}，而不是 ${expected}，因此不计时。`,
  late: (seconds) => `它用时超过 ${seconds} 秒。`,
  leftOut: '未参加。',
  notIsolated: '多线程需要服务器将页面隔离，而此页面没有隔离。',
  oneCore: '本机只有一个核心。',
  withThreads: (name, threads) => `${name}，${threads} 线程`,
  here: (using) => `此处：${using}。`,
  laneStarting: '正在启动并核对……',
  laneRunning: '运行中……',
  laneWaiting: '等待核对',
  laneReady: '就绪',
  sameLoss: (first) => `✓ 损失一致：${first}`,
  sameLosses: (first, stepped) => `✓ 损失一致：${first}，一步后 ${stepped}`,
  contestant: '参赛者',
  median: '中位数',
  range: '范围',
  turns: '回合',
  comparison: '对比',
  caption: (network, task) => `${network}：${task}，每秒图像数`,
  fromTo: (low, high) => `${low} 至 ${high}`,
  notMeasured: '尚未测量。',
  oneThread: (times) => `单线程的 ${times}`,
  asFast: (times) => `Espalier 是它的 ${times}`,
  theFastest: (times) => `最快对手的 ${times}`,
  wins: (kind, network, times, peer) =>
    `在此${kind === 'training' ? '训练' : '运行'} ${network} 时，Espalier 的速度是最快对手 ${peer} 的 ${times}，双方均为单线程。`,
  loses: (kind, network, times, peer) =>
    `在此${kind === 'training' ? '训练' : '运行'} ${network} 时，${peer} 的速度是 Espalier 的 ${times}，双方均为单线程。`,
  tasks: {
    training: { name: '训练，每批 64 张', summary: '完整的步骤：前向、反向、带动量的更新。' },
    'inference-64': { name: '推理，一次 64 张图像', summary: '一次调用得到 64 张图像的概率。' },
    'inference-1': { name: '推理，一次一张图像', summary: '逐次调用，每次一张图像的概率。' },
  },
  tracks: {
    lenet5: { name: 'LeNet-5', summary: 'LeNet-5（Caffe），431,080 个参数' },
    small: { name: 'small', summary: '两个 3x3 卷积层和一个全连接层，9,098 个参数' },
  },
  how: {
    espalier: '其公开发布的包。',
    'onnxruntime-web-training':
      '最后一个带梯度内核的版本，用手工构建的整步计算图驱动；动量用 JavaScript 实现。',
    'onnxruntime-web': 'wasm 后端上的浮点模型。',
    'tensorflow-wasm': '带 SIMD 的 wasm 后端上的核心运算、变量及其自带的动量优化器。',
    'tensorflow-cpu': '同上，使用 JavaScript 后端。',
    convnetjs: '其自带的层与训练器，按其方式逐张处理图像。',
    'jax-js': 'wasm 后端上，训练一步与推理各用一个 jit 编译的函数。',
  },
  cannotTrain: {
    'onnxruntime-web': '自 1.20 起的版本没有梯度内核。',
  },
  compared: '比较的内容',
  notes: {
    same: (batch, momentum) =>
      `各方以相同的权重开始，看到相同的内置数字。训练为每批 ${batch} 张的完整步骤，每轮重新打乱，使用 softmax 交叉熵和 ${momentum} 的动量。`,
    checked: (images) => `在 ${images} 张图像上的损失与其他各方一致之后才计时；若是训练，一步之后也须一致。`,
    turns: (seconds, turns, slow) =>
      `各方轮流上场，每回合 ${seconds} 秒，共 ${turns} 回合，从不同时计算。慢的库只有 ${slow} 回合，每回合一步。`,
    driven:
      '每个库都尽我们所知以最佳方式驱动，版本见名称旁；除非名称另有说明，均在处理器上以单线程运行。推理时的图像转换不计时，下载和编译也不计时。',
    threads:
      '页面允许使用线程时，会有两个 Espalier 参赛。若此浏览器能正确计算 relaxed SIMD 则使用之，否则使用普通 SIMD。',
    disturbed: '其他标签页和程序会干扰竞速，处于省电状态的笔记本电脑也会。',
  },
};
