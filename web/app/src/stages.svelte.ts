// A page that appears panel by panel, a task for each: nothing holds up the messages of the engine, which starts
// meanwhile, or a click.

export class Stages {
  /** From 1 to the number of stages. */
  reached = $state(1);

  constructor(count: number) {
    const advance = () => {
      this.reached += 1;
      if (this.reached < count) setTimeout(advance);
    };
    setTimeout(advance);
  }
}
